import { connect } from 'node:net'
import { Unavailable } from '../install/command.ts'
import type { Recipe } from './recipe.ts'

const CONNECT_MAX_MS = 3_000

// The first address: there may be several, as in MongoDB's, which make it no URL to Node.
const ADDRESS = /^[a-z][a-z+]*:\/\/(?:[^@/]*@)?(?<host>\[[^\]]+\]|[^:,/?]+)(?::(?<port>\d+))?/

/** The variables that may name a server of this kind, the more exact one first. */
export function variables(recipe: Recipe): string[] {
  const names = recipe.isDefault ? [recipe.name, family(recipe)] : [recipe.name]
  return names.map((name) => `ONCEMQ_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}_URL`)
}

/** `rabbitmq` of `rabbitmq-4.0`. */
export function family({ name }: Recipe): string {
  return name.split('-')[0] ?? name
}

/** The URL that the environment gives for this server, once something answers there. */
export async function urlFromEnvironment(recipe: Recipe): Promise<string | undefined> {
  const variable = variables(recipe).find((name) => process.env[name])
  if (variable === undefined) return undefined
  const url = process.env[variable] ?? ''
  const address = ADDRESS.exec(url)?.groups
  if (address === undefined) throw new Unavailable(`${variable} is no URL`)
  const { host = '', port = recipe.container?.port } = address
  if (port !== undefined && !(await answers(host, Number(port)))) {
    throw new Unavailable(`${variable}: nothing answers at ${host}:${port}`)
  }
  return url
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: host.replaceAll(/[[\]]/g, ''), port, timeout: CONNECT_MAX_MS })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .once('timeout', () => end(false))
  })
}
