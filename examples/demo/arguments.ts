import { parseArgs } from 'node:util'
import { Failure } from './failure.ts'

/**
 * What the demo was asked for. `broker`: `embedded`, `rabbitmq`, `rocketmq` or `kafka` (start one), or the
 * URL of one that runs.
 */
export interface Arguments {
  readonly broker: string
  /** The five ways side by side, instead of the three causes. */
  readonly ways: boolean
  readonly json: boolean
  readonly help: boolean
}

export const HELP = `npm start -- [options]

A payment service through the three causes of duplicate messages, without and with oncemq.

  (no option)         a broker in this process and SQLite: nothing to install or to start
  --real              starts a RabbitMQ of its own and runs the same on it, as --broker rabbitmq
  --broker rocketmq   the same on a RocketMQ of its own; takes a minute, as RocketMQ redelivers after 10 s
  --broker kafka      the same on a Kafka of its own; takes half a minute, as a dead worker counts for 6 s
  --broker <url>      the same on yours: amqp://user:password@host:5672, kafka://host:9092, or for RocketMQ
                      rocketmq://proxy:8081/?broker=host:10911 (topics and groups are made at the broker)
  --ways              the same orders through five ways to be idempotent, side by side, and what each costs;
                      a broker in this process and SQLite, nothing else
  --json              prints the figures alone, as JSON
  --help              prints this

Exit codes: 0 done, 1 the broker cannot be used, 2 a wrong option.`

const USAGE_EXIT_CODE = 2
const STARTED = ['rabbitmq', 'rocketmq', 'kafka']

/** Reads the command line. @throws Failure with exit code 2 for what it does not know. */
export function readArguments(args: readonly string[]): Arguments {
  const { broker, real = false, ways = false, json = false, help = false } = parse(args)
  if (broker !== undefined && real) throw wrong('either --broker or --real', 'both')
  if (ways && (broker !== undefined || real)) throw wrong('--ways without a broker', 'both')
  if (broker !== undefined) requireBroker(broker)
  return { broker: broker ?? (real ? 'rabbitmq' : 'embedded'), ways, json, help }
}

function parse(args: readonly string[]) {
  const boolean = { type: 'boolean' } as const
  const options = {
    broker: { type: 'string' },
    real: boolean,
    ways: boolean,
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

function requireBroker(broker: string): void {
  if (STARTED.includes(broker)) return
  const url = URL.canParse(broker) ? new URL(broker) : undefined
  if (url !== undefined && ['amqp:', 'amqps:', 'kafka:'].includes(url.protocol)) return
  if (url?.protocol !== 'rocketmq:') {
    const what = url === undefined ? 'no URL' : `a URL that begins with ${url.protocol}`
    const urls = 'amqp://host:port, kafka://host:port or rocketmq://host:port'
    throw wrong(`--broker ${STARTED.join(', ')}, ${urls}`, what)
  }
  if (!url.searchParams.has('broker')) {
    throw wrong('--broker rocketmq://host:port/?broker=host:port', 'a URL without ?broker=')
  }
}

function wrong(expected: string, received: string): Failure {
  const message = `npm start: expected ${expected}, received ${received}; see npm start -- --help`
  return new Failure(message, { exitCode: USAGE_EXIT_CODE })
}
