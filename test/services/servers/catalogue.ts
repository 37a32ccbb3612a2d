import { rabbitmqServers } from './rabbitmq.ts'

/** Every server that the tests can have. */
export const servers = [...rabbitmqServers] as const

export type ServerName = (typeof servers)[number]['name']
