export { playWays } from './play-ways.ts'
export { waysAsJson, waysAsText } from './report.ts'
