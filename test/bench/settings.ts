import { parseArgs } from 'node:util'

/** What the command line says. */
export interface Settings {
  readonly suites: readonly string[]
  /** Names of stores; all of them when empty. */
  readonly stores: readonly string[]
  /** Messages at a time in the store and by-hand suites; their own numbers if undefined. */
  readonly inFlight: readonly number[] | undefined
  /** Those on which the whole consumer is measured. */
  readonly brokers: readonly string[]
  readonly rounds: number
  readonly durationMs: number
  readonly messages: number
  readonly keys: number
  /** What a network between the by-hand suite and its servers adds each way. */
  readonly delayMs: number
  readonly json: string | undefined
}

// A million and some more: Redis doubles its table at 2^20 keys, which would fall into the runs.
const KEYS = 1_200_000

export const usage = `npm run bench -- [--suite store|consumer|filled|ways|logs|by-hand|peers]...
                [--store NAME]... [--broker NAME]... [--in-flight N]... [--rounds N]
                [--duration-ms N] [--messages N] [--keys N] [--delay MS] [--json FILE]

  --suite        what is measured; may be given several times; store and consumer by default;
                 ways is each way to be idempotent on RabbitMQ and PostgreSQL, whose handler writes a row;
                 logs is a record for each message against a row for each partition, on Kafka and
                 PostgreSQL;
                 by-hand is each mode against what people write without a library, at few and many in flight;
                 peers is the same beside other libraries on Redis and PostgreSQL, which npm installs
  --store        only this store; may be given several times
  --broker       where the consumer and ways suites run: rabbitmq by default, or rocketmq (set up to end
                 quickly, with the memory and mongodb stores, and for ways its keys alone); may be given
                 several times
  --in-flight    messages at a time in the store and by-hand suites; may be given several times;
                 1, 16, 64, 256 and 1024 by default, and 1, 4, 16, 64 and 256
  --rounds       counted runs of each variant, after one that warms up; 3 by default
  --duration-ms  length of each run of the store and by-hand suites; 700 by default
  --messages     messages of each run of the consumer and ways suites; 10000 by default
  --keys         keys that the filled store holds; ${KEYS} by default
  --delay        milliseconds that a network adds each way between the by-hand suite and its servers
  --json         also writes the rows to FILE

Columns: client, server and broker are processor time per message in microseconds, of this process, of
the store's server and of the broker; '-' where it cannot be seen. p50 is of a message that is alone,
but in the by-hand suite of all, from their arrival on.
limit is the first of the three that runs for 85% of one processor's time or more, else latency: all
wait for a disk, a network, each other, or what else this machine does.`

/** @throws Error that says which argument is wrong. */
export function settingsOf(args: readonly string[], storeNames: readonly string[]): Settings | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      suite: { type: 'string', multiple: true, default: ['store', 'consumer'] },
      store: { type: 'string', multiple: true, default: [] },
      'in-flight': { type: 'string', multiple: true },
      broker: { type: 'string', multiple: true, default: ['rabbitmq'] },
      rounds: { type: 'string', default: '3' },
      'duration-ms': { type: 'string', default: '700' },
      messages: { type: 'string', default: '10000' },
      keys: { type: 'string', default: `${KEYS}` },
      delay: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  return {
    suites: names('--suite', values.suite, [
      'store',
      'filled',
      'consumer',
      'ways',
      'logs',
      'by-hand',
      'peers',
    ]),
    stores: names('--store', values.store, storeNames),
    inFlight: values['in-flight']?.map((text) => count('--in-flight', text)),
    brokers: names('--broker', values.broker, ['rabbitmq', 'rocketmq']),
    rounds: count('--rounds', values.rounds),
    durationMs: count('--duration-ms', values['duration-ms']),
    messages: count('--messages', values.messages),
    keys: count('--keys', values.keys),
    delayMs: values.delay === undefined ? 0 : count('--delay', values.delay),
    json: values.json,
  }
}

function names(option: string, given: readonly string[], known: readonly string[]): readonly string[] {
  const unknown = given.find((name) => !known.includes(name))
  if (unknown === undefined) return given
  throw new Error(`${option}: expected one of ${known.join(', ')}, received '${unknown}'`)
}

function count(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Error(`${name}: expected a whole number above 0, received '${text}'`)
}
