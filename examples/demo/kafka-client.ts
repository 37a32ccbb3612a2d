import { Kafka, logLevel } from 'kafkajs'

/** What every client of the demo is made with. */
export function kafkaOf(url: string): Kafka {
  return new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING })
}
