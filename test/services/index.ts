export { Unavailable } from './install/command.ts'
export { type Server, service, type ServiceOptions } from './client/service.ts'
export type { ServerName } from './servers/catalogue.ts'
