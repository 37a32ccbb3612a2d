import { ordersOf } from '@oncemq/example-five-ways'
import { table } from '../table.ts'
import type { PlayedWay } from './play-ways.ts'

const TITLES = ['way', 'deliveries', 'effects', 'statements: new', 'a copy']

const count = ordersOf('').length

/** What people see first. */
export const OPENING = [
  `${count} orders, to be charged once each, through five ways. In each of them a producer sends`,
  'every order twice, one worker dies after its effect, and one when all is done but the ack.',
  'Broker: a broker in this process (@onify/fake-amqplib). Database: SQLite files.',
  '',
].join('\n')

/** What people see when all is done. */
export function waysAsText(played: readonly PlayedWay[]): string {
  const guards = ['what tells a duplicate', ...played.map(({ way }) => way.guard)]
  return [
    ...table([TITLES, ...played.map(rowOf)]).map((line, index) => `${line}  ${guards[index]}`),
    '',
    'Statements are counted at the client, from the delivery of one message to its settlement, with those of',
    'the handler. One message at a time: a busy consumer shares those of the record between many messages.',
    'Redis: a MemoryStore stands for it, whose calls are counted; on Redis each is one script.',
    "RocketMQ's keys need a server: examples/five-ways runs all five on real ones.",
  ].join('\n')
}

function rowOf({ way, result }: PlayedWay): string[] {
  const cells = result
    ? [result.deliveries, result.charges, result.forNew, result.forCopy]
    : ['-', '-', '-', '-']
  return [way.title, ...cells.map(String)]
}

/** For scripts. */
export function waysAsJson(played: readonly PlayedWay[]): string {
  const rows = played.map(({ name, result }) =>
    result === undefined
      ? { name, skipped: 'needs a server' }
      : {
          name,
          broker: 'embedded',
          events: result.orders,
          deliveries: result.deliveries,
          effects: result.charges,
          lost: result.lost,
          twice: result.twice,
          statementsForNew: result.forNew,
          statementsForCopy: result.forCopy,
        },
  )
  return JSON.stringify({ ways: rows })
}
