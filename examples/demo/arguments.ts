import { parseArgs } from 'node:util'
import { Failure } from './failure.ts'

/** What the demo was asked for. `broker`: `embedded`, `real` (start one), or the URL of one that runs. */
export interface Arguments {
  readonly broker: string
  readonly json: boolean
  readonly help: boolean
}

export const HELP = `npm start -- [options]

A payment service through the three causes of duplicate messages, without and with oncemq.

  (no option)         a broker in this process and SQLite: nothing to install or to start
  --real              starts a RabbitMQ of its own and runs the same on it
  --broker <url>      runs the same on your RabbitMQ: amqp://user:password@host:5672
  --json              prints the figures alone, as JSON
  --help              prints this

Exit codes: 0 done, 1 the broker cannot be used, 2 a wrong option.`

const USAGE_EXIT_CODE = 2

/** Reads the command line. @throws Failure with exit code 2 for what it does not know. */
export function readArguments(args: readonly string[]): Arguments {
  const { broker, real = false, json = false, help = false } = parse(args)
  if (broker !== undefined && real) throw wrong('either --broker or --real', 'both')
  if (broker !== undefined) requireUrl(broker)
  return { broker: broker ?? (real ? 'real' : 'embedded'), json, help }
}

function parse(args: readonly string[]) {
  const boolean = { type: 'boolean' } as const
  const options = {
    broker: { type: 'string' },
    real: boolean,
    json: boolean,
    help: { ...boolean, short: 'h' },
  } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('. ')
    throw wrong('the options of --help', reason.charAt(0).toLowerCase() + reason.slice(1))
  }
}

function requireUrl(broker: string): void {
  const protocol = URL.canParse(broker) ? new URL(broker).protocol : undefined
  if (protocol === 'amqp:' || protocol === 'amqps:') return
  const what = protocol === undefined ? 'no URL' : `a URL that begins with ${protocol}`
  throw wrong('--broker amqp://host:port', what)
}

function wrong(expected: string, received: string): Failure {
  const message = `npm start: expected ${expected}, received ${received}; see npm start -- --help`
  return new Failure(message, { exitCode: USAGE_EXIT_CODE })
}
