import { connect } from 'node:net'
import { Unavailable } from '../install/command.ts'
import type { Recipe } from './recipe.ts'

const CONNECT_MAX_MS = 3_000

// The first address: there may be several, as in MongoDB's, which make it no URL to Node.
const ADDRESS = /^[a-z][a-z+]*:\/\/(?:[^@/]*@)?(?<host>\[[^\]]+\]|[^:,/?]+)(?::(?<port>\d+))?/

/** The variables that may name a server of this kind, the more exact one first. */
export function variables({ name, isDefault }: Recipe): string[] {
  const upper = name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
  const family = upper.split('_')[0]
  return [`ONCEMQ_${upper}_URL`, ...(isDefault ? [`ONCEMQ_${family}_URL`] : [])]
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
