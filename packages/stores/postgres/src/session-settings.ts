/** What SQL may begin with and does not mean. Comments within comments are not looked into. */
const LEAD = String.raw`(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*`

const TEMPORARY = String.raw`(?:local\s+|global\s+)?temp(?:orary)?\b`

/**
 * Statements, and functions, after which the session is not as it was. What is set for the transaction alone
 * (SET LOCAL) ends by itself. What procedures do is not seen.
 */
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

/** A statement that ends the transaction; and with it, in the same query, one that runs outside of it. */
const ENDING = new RegExp(
  String.raw`(?:^|;)${LEAD}(?:rollback|abort|commit)\b(?!\s+(?:(?:work|transaction)\s+)?to\b)` +
    String.raw`[^;]*(?<more>;\s*[^\s;])?`,
  'i',
)

/** What a handler has done to the session that its transaction is in, as far as its statements tell. */
export class SessionTraces {
  /** Something is set for the session, which its next user must not have. */
  hasSet = false
  /** Something is set for the rest of the transaction, which other handlers must not have. */
  hasSetLocally = false
  /** It went on after it had ended the transaction: each statement has committed by itself there. */
  hasGoneOn = false
  #hasEnded = false

  /** Notes a query, by what it was called with. */
  note([first]: readonly unknown[]): void {
    const text = textOf(first)
    if (text === undefined) return
    this.hasSet ||= SETTING.test(text)
    this.hasSetLocally ||= SETTING_LOCALLY.test(text)
    const end = ENDING.exec(text)
    this.hasGoneOn ||= this.#hasEnded || end?.groups?.['more'] !== undefined
    this.#hasEnded ||= end !== null
  }
}

function textOf(query: unknown): string | undefined {
  const text = typeof query === 'string' ? query : (query as { text?: unknown } | null | undefined)?.text
  return typeof text === 'string' ? text : undefined
}
