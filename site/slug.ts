/**
 * The anchor that a forge makes of a heading: lower case, no punctuation, spaces as dashes. The site makes
 * the same, so that a link works in both places.
 */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
