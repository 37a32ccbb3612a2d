/** Where those find the pages who have the packages alone. A test holds it to the root's package.json. */
const PAGES = 'https://github.com/oncemq/oncemq/blob/main/docs'

/** The address of a page of `docs`, for messages: `pageAt('operations', 'failed-messages-and-replays')`. */
export function pageAt(page: string, heading?: string): string {
  return `${PAGES}/${page}.md${heading === undefined ? '' : `#${heading}`}`
}
