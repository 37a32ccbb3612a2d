/** What SQL may begin with and does not mean. Comments within comments are not looked into. */
const LEAD = String.raw`(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*`

const TEMPORARY = String.raw`(?:local\s+|global\s+)?temp(?:orary)?\b`

/** Statements, and functions, after which the session is not as it was. What procedures do is not seen. */
const SETTING = new RegExp(
  String.raw`(?:^|;)${LEAD}(?:set\s+(?!local\b|transaction\b|constraints\b)|reset\b|discard\b|listen\b|` +
    String.raw`load\b|prepare\s+(?!transaction\b)|deallocate\b|declare\b.*\bwith\s+hold\b|` +
    String.raw`create\s+(?:or\s+replace\s+)?${TEMPORARY}(?![^;]*\bon\s+commit\s+drop\b))|` +
    // Not the name of a table that is written to.
    String.raw`\binto(?<!\b(?:insert|merge)\s+into)\s+${TEMPORARY}|\bpg_temp\b|` +
    String.raw`\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(|` +
    String.raw`\bset_config\s*\((?![^)]*,\s*(?:true|'t(?:rue)?')\s*\))`,
  'is',
)

/** Statements, and functions, after which the rest of the transaction is not as it was. Seen too often. */
const SETTING_LOCALLY =
  /\bset\s+(?:local|transaction|constraints)\b|\bset_config\s*\(|\btemp(?:orary)?\b|\bdeclare\b/i

/** Whether a handler's query sets something for the transaction, which other handlers must not have. */
export function setsTransaction([first]: readonly unknown[]): boolean {
  const text = textOf(first)
  return text !== undefined && SETTING_LOCALLY.test(text)
}

/**
 * Whether a handler's query sets something for the session, which the connection's next user must not have:
 * what is set for the transaction alone (SET LOCAL) ends by itself.
 */
export function setsSession([first]: readonly unknown[]): boolean {
  const text = textOf(first)
  return text !== undefined && SETTING.test(text)
}

function textOf(query: unknown): string | undefined {
  const text = typeof query === 'string' ? query : (query as { text?: unknown } | null | undefined)?.text
  return typeof text === 'string' ? text : undefined
}
