import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A request of RocketMQ's remoting protocol, which its name server and its brokers speak. */
export interface Command {
  readonly code: number
  readonly extFields?: Readonly<Record<string, string>>
  /** Bytes as they are, anything else as JSON. */
  readonly body?: unknown
}

export interface Answer {
  readonly code: number
  readonly remark?: string
}

export const SUCCESS = 0

const LENGTH_BYTES = 4

/** Sends the commands one after the other and answers what each one got. */
export async function askRocketmq(address: string, commands: readonly Command[]): Promise<Answer[]> {
  const { hostname: host, port } = new URL(`tcp://${address}`)
  const socket = connect({ host, port: Number(port) })
  try {
    await once(socket, 'connect')
    const answers: Answer[] = []
    for (const command of commands) answers.push(await ask(socket, command))
    return answers
  } finally {
    socket.destroy()
  }
}

/** A frame: its length, the header's length, the header as JSON, the body. */
async function ask(socket: Socket, { code, extFields = {}, body }: Command): Promise<Answer> {
  const fields = {
    code,
    language: 'OTHER',
    version: 0,
    opaque: 1,
    flag: 0,
    serializeTypeCurrentRPC: 'JSON',
    extFields,
  }
  const header = Buffer.from(JSON.stringify(fields))
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body === undefined ? '' : JSON.stringify(body))
  const lengths = Buffer.alloc(2 * LENGTH_BYTES)
  lengths.writeUInt32BE(LENGTH_BYTES + header.length + content.length, 0)
  lengths.writeUInt32BE(header.length, LENGTH_BYTES)
  socket.write(Buffer.concat([lengths, header, content]))
  return readAnswer(socket)
}

async function readAnswer(socket: Socket): Promise<Answer> {
  let received = Buffer.alloc(0)
  const start = 2 * LENGTH_BYTES
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    received = Buffer.concat([received, chunk])
    if (received.length < start || received.length < LENGTH_BYTES + received.readUInt32BE(0)) continue
    // The first byte tells how the header is written; zero, as in the request, means JSON.
    const length = received.readUInt32BE(LENGTH_BYTES)
    return JSON.parse(received.toString('utf8', start, start + length)) as Answer
  }
}
