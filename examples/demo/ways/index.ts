export { playWays } from './play-ways.ts'
export { OPENING, waysAsJson, waysAsText } from './report.ts'
