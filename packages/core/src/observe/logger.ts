/**
 * A logger, by the one method that is used: pino, winston and `console` fit. The message is a sentence, with
 * neither payloads nor credentials in it.
 */
export interface Logger {
  warn(message: string): unknown
}
