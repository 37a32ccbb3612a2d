const COMMENT = String.raw`--(?=\s|$)[^\n]*|#[^\n]*|/\*(?!M?!)[^]*?(?:\*/|$)`
const QUOTES = ["'", '"', '`']

/** Texts, quoted names, and comments but for those that are run: nothing in them is a statement. */
const PASSIVE = passive((quote) => `[^${quote}]*`)
/** The same where a backslash escapes, which a setting of the session decides. */
const PASSIVE_ESCAPED = passive((quote) => String.raw`[^${quote}\\]*(?:\\[^]?[^${quote}\\]*)*`)

/** What a statement may begin with and does not mean: blanks, and the mark of a comment that is run. */
const LEAD = String.raw`\s*(?:/\*M?!\d*\s*)*`

const TEMPORARY = String.raw`(?:\s+or\s+replace)?\s+temporary`

/**
 * Statements that end the transaction, by what they say or because MySQL commits before them. No handler has
 * a use for one: it is told so, and not run again.
 */
const ENDING = new RegExp(
  String.raw`(?:^|;)${LEAD}(?:commit|begin|start|rename|truncate|alter|lock|grant|revoke|analyze|check|` +
    String.raw`optimize|repair|cache|flush|reset|install|uninstall|xa|` +
    String.raw`(?:create|drop)(?!${TEMPORARY})|set\s+password)\b`,
  'i',
)

/**
 * Statements, and what is in them, after which the session is not as it was. A variable that a SELECT
 * without a row leaves alone would have the value of an earlier message. What procedures do is not seen.
 */
const SETTING = new RegExp(
  String.raw`(?:^|;)${LEAD}(?:set|use|prepare|handler|(?:create|drop)${TEMPORARY})\b|\bget_lock\s*\(|` +
    String.raw`\binto\s+@|@[\w.$]*\s*:=`,
  'i',
)

const CALLING = new RegExp(String.raw`(?:^|;)${LEAD}call\b`, 'i')

const ENDING_METHODS = new Set<string | symbol>(['commit', 'beginTransaction'])
const SETTING_METHODS = new Set<string | symbol>(['changeUser', 'reset'])

/** The server's flag for a session with a transaction open. */
const IN_TRANSACTION = 1

/**
 * What can be told of a handler's transaction, and of its session, from what the handler sends and is
 * answered: all that is known of them once the connection is lost.
 */
export class HandlerCalls {
  /** Whether the transaction has ended, or may have: what it wrote may be there for good. */
  mayHaveEnded = false
  /** Whether the session has settings of the handler's, which its next user must not have. */
  hasSet = false
  /** Whether it has called a procedure, whose settings are not seen. */
  hasCalled = false

  /** Whether all that is known says that transaction and session are as they were. */
  get isPlain(): boolean {
    return !this.mayHaveEnded && !this.hasSet && !this.hasCalled
  }

  sent(method: string | symbol, [first]: readonly unknown[]): void {
    const sql = typeof first === 'string' ? first : (first as { sql?: unknown } | null | undefined)?.sql
    this.mayHaveEnded ||= ENDING_METHODS.has(method)
    this.hasSet ||= SETTING_METHODS.has(method)
    for (const text of typeof sql === 'string' ? readingsOf(sql) : []) {
      this.mayHaveEnded ||= ENDING.test(text)
      this.hasSet ||= SETTING.test(text)
      this.hasCalled ||= CALLING.test(text)
    }
  }

  /** The server says with each answer to a statement that writes whether a transaction is open. */
  answered(answer: unknown): void {
    // A promise is answered rows and fields, a callback the rows alone; of several statements a list of them.
    const rows: unknown = Array.isArray(answer) && isHeaderOrList(answer[0]) ? answer[0] : answer
    for (const each of Array.isArray(rows) ? rows : [rows]) {
      if (!isHeaderOrList(each)) return
      if ('serverStatus' in each) this.mayHaveEnded ||= (Number(each.serverStatus) & IN_TRANSACTION) === 0
    }
  }
}

/** Without its passive parts: as a backslash escapes, and as it does not. What either says may be so. */
function readingsOf(sql: string): string[] {
  const passives = sql.includes('\\') ? [PASSIVE, PASSIVE_ESCAPED] : [PASSIVE]
  return passives.map((each) => sql.replace(each, ' '))
}

/** Each part takes what has no end up to the end of the statement, so that nothing is read twice. */
function passive(inside: (quote: string) => string): RegExp {
  const quoted = QUOTES.map((quote) => `${quote}${inside(quote)}(?:${quote}|$)`)
  return new RegExp([...quoted, COMMENT].join('|'), 'g')
}

/** The driver's answer to a statement that writes, or one of several answers. A row is neither. */
function isHeaderOrList(value: unknown): value is { serverStatus: unknown } | readonly unknown[] {
  if (Array.isArray(value)) return true
  return typeof value === 'object' && value !== null && value.constructor.name === 'ResultSetHeader'
}
