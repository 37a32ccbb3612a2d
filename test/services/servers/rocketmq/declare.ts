import { askRocketmq, type Command, SUCCESS } from './remoting.ts'

/** What a topic carries; a message of another type is refused by the server. */
export type RocketmqTopicType = 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION'

export interface RocketmqTopic {
  readonly name: string
  readonly type: RocketmqTopicType
  readonly queues?: number
}

export interface RocketmqGroup {
  readonly name: string
  readonly retryMaxTimes?: number
  /** Whether each message group is consumed in order: needed on FIFO topics. */
  readonly orderly?: boolean
  /** As the server's own `groupRetryPolicy`. */
  readonly retryPolicy?: Readonly<Record<string, unknown>>
}

export interface RocketmqDeclarations {
  readonly topics?: readonly RocketmqTopic[]
  readonly groups?: readonly RocketmqGroup[]
}

// The protocol's codes.
const UPDATE_TOPIC = 17
const UPDATE_GROUP = 200
const DELETE_GROUP = 207
const DELETE_TOPIC = 215
const SEND_MESSAGE = 310

const QUEUES = 4
const READ_AND_WRITE = 6
const RETRIES = 16

/**
 * Makes topics and consumer groups, or changes them. It speaks the broker's own protocol, as its
 * administration tool is a Java program that takes seconds a call.
 *
 * @example
 * const groups = [{ name: 'billing', orderly: true }]
 * await declareRocketmq(server.url, { topics: [{ name: 'orders', type: 'FIFO' }], groups })
 */
export async function declareRocketmq(url: string, declarations: RocketmqDeclarations): Promise<void> {
  const { topics = [], groups = [] } = declarations
  await order(url, [...topics.map(topicCommand), ...groups.map(groupCommand)])
}

/** Removes topics, with their messages, and consumer groups; what is not there is no error. */
export async function removeRocketmq(
  url: string,
  { topics = [], groups = [] }: { readonly topics?: readonly string[]; readonly groups?: readonly string[] },
): Promise<void> {
  await order(url, [
    ...topics.map((topic) => ({ code: DELETE_TOPIC, extFields: { topic } })),
    ...groups.map((groupName) => ({ code: DELETE_GROUP, extFields: { groupName, cleanOffset: 'true' } })),
  ])
}

/** A message as the broker keeps it. */
export interface RocketmqRawMessage {
  readonly topic: string
  readonly body: Buffer
  /** Also the broker's own, such as `KEYS` and `TAGS`. */
  readonly properties?: Readonly<Record<string, string>>
  /** Whether it says that its body is packed. */
  readonly packed?: boolean
}

/** Sends a message as clients of version 4 do: past what the proxy refuses to take. */
export async function sendRaw(url: string, message: RocketmqRawMessage): Promise<void> {
  const { topic, body, properties = {}, packed = false } = message
  const written = Object.entries(properties).map(([name, value]) => `${name}\u0001${value}\u0002`)
  // Single letters stand for producer group, topic, queue, flags, time, properties and so on.
  const always = { a: 'test', c: 'TBW102', d: '4', e: '0', h: '0', j: '0', k: 'false', m: 'false' }
  const extFields = { ...always, b: topic, f: packed ? '1' : '0', g: `${Date.now()}`, i: written.join('') }
  await order(url, [{ code: SEND_MESSAGE, extFields, body }])
}

async function order(url: string, commands: readonly Command[]): Promise<void> {
  const broker = new URL(url).searchParams.get('broker')
  if (broker === null) throw new Error('the RocketMQ URL names no broker: expected ?broker=host:port')
  const answers = await askRocketmq(broker, commands)
  for (const { code, remark } of answers) {
    if (code !== SUCCESS) throw new Error(`RocketMQ refused: code ${code}, ${remark}`)
  }
}

function topicCommand({ name, type, queues = QUEUES }: RocketmqTopic): Command {
  const extFields = {
    topic: name,
    defaultTopic: 'TBW102',
    readQueueNums: `${queues}`,
    writeQueueNums: `${queues}`,
    perm: `${READ_AND_WRITE}`,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: '0',
    order: `${type === 'FIFO'}`,
    attributes: `+message.type=${type}`,
    force: 'false',
  }
  return { code: UPDATE_TOPIC, extFields }
}

function groupCommand({
  name,
  retryMaxTimes = RETRIES,
  orderly = false,
  retryPolicy,
}: RocketmqGroup): Command {
  const policy = retryPolicy === undefined ? {} : { groupRetryPolicy: retryPolicy }
  const body = { groupName: name, retryMaxTimes, consumeMessageOrderly: orderly, ...policy }
  return { code: UPDATE_GROUP, body }
}
