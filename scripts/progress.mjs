// Progress goes to stderr: stdout belongs to the task, whose `--json` output must be JSON alone.

const SHOWN_EVERY_MS = 5_000

/** One running step: on a terminal a line that is written over, elsewhere a line now and then. */
export function startProgress(title) {
  const started = Date.now()
  let shown = started
  let status = ''
  const isTerminal = process.stderr.isTTY === true
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`
  const draw = () => {
    if (isTerminal) process.stderr.write(`\r\u001B[K${title} ${seconds()} ${status}`.slice(0, 100))
    else if (Date.now() - shown >= SHOWN_EVERY_MS) {
      shown = Date.now()
      process.stderr.write(`${title} ${seconds()} ${status}\n`)
    }
  }
  process.stderr.write(isTerminal ? title : `${title}\n`)
  const timer = setInterval(draw, 500)
  return {
    update(text) {
      status = text
    },
    end(result) {
      clearInterval(timer)
      process.stderr.write(`${isTerminal ? '\r\u001B[K' : ''}${title} ${result}, ${seconds()}\n`)
    },
  }
}
