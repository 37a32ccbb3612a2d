/** What the test uses of rascal, which has no types of its own. */
declare module 'rascal' {
  import type { EventEmitter } from 'node:events'

  export class BrokerAsPromised extends EventEmitter {
    static create(config: object): Promise<BrokerAsPromised>
    subscribe(name: string): Promise<Subscription>
    shutdown(): Promise<void>
  }

  export interface Subscription extends EventEmitter {
    cancel(): Promise<void>
  }
}
