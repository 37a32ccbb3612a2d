export { OncemqContext } from './context.ts'
export { OncemqRmqServer } from './server.ts'
export type { OncemqRmqOptions } from './options.ts'
