import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server as Listener, type Socket } from 'node:net'
import { Transform, type TransformCallback } from 'node:stream'

interface Link {
  readonly client: Socket
  readonly server: Socket
  /** Replies are missing from its stream, so it can only be cut. */
  hasHole: boolean
  /** The server hears nothing more of its client, not even that it is gone. */
  hasVanished: boolean
}

/**
 * A TCP proxy on loopback that breaks what goes through it, for tests of faults. Clients of a cluster go
 * around it, as the servers tell their own addresses; a MongoDB client does so too unless it says
 * `directConnection=true`.
 *
 * @example
 * const proxy = await FaultProxy.open(server.url)
 * const store = new RedisStore({ url: proxy.url })
 * proxy.cutReplyAfter(3)
 */
export class FaultProxy {
  readonly #target: URL
  readonly #listener: Listener
  readonly #links = new Set<Link>()
  /** The servers' ends of connections whose clients vanished. */
  readonly #orphans = new Set<Socket>()
  #delayMs = 0
  #replyBytesLeft = Infinity
  #swallows = false
  #refuses = false
  #swallowed = 0

  private constructor(target: URL, listener: Listener) {
    this.#target = target
    this.#listener = listener
    listener.on('connection', (client) => this.#link(client))
  }

  static async open(targetUrl: string): Promise<FaultProxy> {
    const listener = createServer()
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new FaultProxy(new URL(targetUrl), listener)
  }

  /** The target's URL with the proxy's address in it. */
  get url(): string {
    return this.#target.href.replace(this.#target.host, `127.0.0.1:${this.port}`)
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port
  }

  /** How many connections go through it now. */
  get connections(): number {
    return this.#links.size
  }

  /** How many bytes of replies it has swallowed. */
  get swallowed(): number {
    return this.#swallowed
  }

  /** Cuts all connections, without a word of farewell. New ones are welcome. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
  }

  /** Cuts all connections and every new one, until `resume`. */
  refuse(): void {
    this.#refuses = true
    this.cut()
  }

  /** Lets so many more bytes of replies pass, then cuts all connections, once. */
  cutReplyAfter(bytes: number): void {
    this.#replyBytesLeft = bytes
  }

  /** Holds everything up, in both directions, by so much. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /** Requests pass, replies vanish, until `resume`. */
  swallowReplies(): void {
    this.#swallows = true
  }

  /**
   * Does to the connections there are as if the client's host had lost its power: nothing passes any more,
   * and the servers do not learn that anything ended, until `close`. New connections are welcome.
   */
  vanish(): void {
    for (const link of this.#links) {
      link.hasVanished = true
      this.#orphans.add(link.server)
      link.client.unpipe()
      link.server.unpipe()
      link.client.resume()
      link.server.resume()
    }
  }

  /**
   * Ends all faults. Connections that missed a reply are cut: theirs would be the answers to other
   * questions.
   */
  resume(): void {
    this.#delayMs = 0
    this.#replyBytesLeft = Infinity
    this.#swallows = false
    this.#refuses = false
    for (const { client, hasHole } of this.#links) if (hasHole) client.resetAndDestroy()
  }

  async close(): Promise<void> {
    this.#listener.close()
    this.cut()
    for (const orphan of this.#orphans) orphan.destroy()
    await once(this.#listener, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #link(client: Socket): void {
    if (this.#refuses) {
      client.on('error', () => {}).resetAndDestroy()
      return
    }
    const server = connect({ host: this.#target.hostname, port: Number(this.#target.port) })
    const link: Link = { client, server, hasHole: false, hasVanished: false }
    this.#links.add(link)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.setNoDelay(true)
      one.on('error', () => {})
      one.on('close', () => {
        this.#links.delete(link)
        if (one === server) this.#orphans.delete(server)
        else if (link.hasVanished) return
        other.destroy()
      })
    }
    client.pipe(passage((chunk, pass) => this.#afterDelay(() => pass(chunk)))).pipe(server)
    server.pipe(passage((chunk, pass) => this.#afterDelay(() => this.#reply(link, chunk, pass)))).pipe(client)
  }

  #afterDelay(work: () => void): void {
    if (this.#delayMs === 0) work()
    else setTimeout(work, this.#delayMs)
  }

  #reply(link: Link, chunk: Buffer, pass: Pass): void {
    if (this.#swallows) {
      link.hasHole = true
      this.#swallowed += chunk.length
      pass()
      return
    }
    const left = this.#replyBytesLeft
    this.#replyBytesLeft -= chunk.length
    if (chunk.length <= left) {
      pass(chunk)
      return
    }
    this.#replyBytesLeft = Infinity
    // The part has to be on its way before the connection is cut.
    link.client.write(chunk.subarray(0, left), () => this.cut())
  }
}

type Pass = (chunk?: Buffer) => void

function passage(handle: (chunk: Buffer, pass: Pass) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      handle(chunk, (passed) => done(null, passed))
    },
  })
}
