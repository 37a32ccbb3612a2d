import { afterAll, describe, expect, test } from 'vitest'
import { Unavailable } from '../install/command.ts'
import type { ServerName } from '../servers/catalogue.ts'
import { Server, service, type ServiceOptions } from './service.ts'

/**
 * With this variable set to 1 a missing server fails its suite. Without, the suite is skipped and says why.
 */
export const REQUIRE_VARIABLE = 'ONCEMQ_REQUIRE_SERVICES'

type Suite = (server: Server) => void | Promise<void>

/**
 * A suite of tests on a real server, which is ready before `suite` runs.
 *
 * @example
 * describeService('rabbitmq-4.0', (server) => {
 *   test('answers', async () => { await (await connect(server.url)).close() })
 * })
 */
export function describeService(name: ServerName, suite: Suite): void
export function describeService(name: ServerName, options: ServiceOptions, suite: Suite): void
export function describeService(name: ServerName, ...rest: [Suite] | [ServiceOptions, Suite]): void {
  const [options, suite] = rest.length === 1 ? [{}, rest[0]] : rest
  // Begun before the suite's turn comes, so that all servers of a file start at the same time.
  const finding = service(name, options).catch((error: unknown) => error)
  describe(`${name}`, async () => {
    const server = await finding
    if (server instanceof Unavailable) return missServer(`${name}: ${server.message}`)
    if (!(server instanceof Server)) throw server
    afterAll(() => server.close())
    await suite(server)
  })
}

function missServer(reason: string): void {
  const isRequired = process.env[REQUIRE_VARIABLE] === '1'
  test('has its server', ({ skip }) => {
    if (!isRequired) skip(reason)
    expect.unreachable(reason)
  })
}
