import { writeFile } from 'node:fs/promises'
import { median } from './measure.ts'
import type { Run } from './measure.ts'

/** One line of the report; ratios are of medians within one interleaved run. */
export interface Row {
  readonly suite: 'store' | 'filled' | 'consumer' | 'ways' | 'logs' | 'by-hand'
  readonly broker: string | null
  readonly store: string
  readonly variant: string
  readonly inFlight: number
  readonly perSecond: number
  readonly ratioToNaive: number | null
  readonly ratioToRaw: number | null
  readonly ratioToEmpty: number | null
  readonly ratioToByHand: number | null
  readonly clientCpuMicros: number
  readonly serverCpuMicros: number | null
  readonly brokerCpuMicros: number | null
  readonly p50Micros: number | null
  readonly p50RatioToNaive: number | null
  readonly p99Micros: number | null
  readonly p50RatioToByHand: number | null
  readonly limit: Limit
}

/** What is busy, or `latency` when nothing is: then a disk, a network, a timer is waited for. */
export type Limit = 'client' | 'server' | 'broker' | 'latency'

export interface Subject {
  readonly suite: Row['suite']
  readonly broker: string | null
  readonly store: string
  readonly inFlight: number
}

/** A process that runs for this share of the time of one processor, or longer, is what limits. */
const BUSY = 0.85

/** Makes rows of the runs of one subject, prints them with the raw figures, and answers them. */
export function reported(subject: Subject, runs: ReadonlyMap<string, readonly Run[]>): readonly Row[] {
  const naive = runs.get('naive')
  const naiveP50 = naive && medianOf(naive, 'p50Micros')
  const [, byHand] = [...runs].find(([variant]) => variant.startsWith('by-hand')) ?? []
  const byHandP50 = byHand && medianOf(byHand, 'p50Micros')
  const ratio = (perSecond: number, to: string): number | null => {
    const base = runs.get(to)
    return base === undefined ? null : rounded(perSecond / medianOf(base, 'perSecond'), 3)
  }
  return [...runs].map(([variant, measured]) => {
    const perSecond = medianOf(measured, 'perSecond')
    const p50 = medianOf(measured, 'p50Micros')
    const p99 = medianOf(measured, 'p99Micros')
    const cpu = {
      clientCpuMicros: medianOf(measured, 'clientCpuMicros'),
      serverCpuMicros: medianOf(measured, 'serverCpuMicros'),
      brokerCpuMicros: medianOf(measured, 'brokerCpuMicros'),
    }
    const row: Row = {
      ...subject,
      variant,
      perSecond: Math.round(perSecond),
      ratioToNaive: ratio(perSecond, 'naive'),
      ratioToRaw: ratio(perSecond, 'raw'),
      ratioToEmpty: ratio(perSecond, 'empty'),
      ratioToByHand: byHand === undefined ? null : rounded(perSecond / medianOf(byHand, 'perSecond'), 3),
      clientCpuMicros: rounded(cpu.clientCpuMicros, 2),
      serverCpuMicros: cpu.serverCpuMicros && rounded(cpu.serverCpuMicros, 2),
      brokerCpuMicros: cpu.brokerCpuMicros && rounded(cpu.brokerCpuMicros, 2),
      p50Micros: p50 && rounded(p50, 1),
      p50RatioToNaive: p50 && naiveP50 ? rounded(p50 / naiveP50, 3) : null,
      p99Micros: p99 && rounded(p99, 1),
      p50RatioToByHand: p50 && byHandP50 ? rounded(p50 / byHandP50, 3) : null,
      limit: limitOf(perSecond, cpu),
    }
    console.log(lineOf(row, measured))
    return row
  })
}

type Figure = Exclude<keyof Run, 'perSecond' | 'clientCpuMicros'>

function medianOf(runs: readonly Run[], figure: 'perSecond' | 'clientCpuMicros'): number
function medianOf(runs: readonly Run[], figure: Figure): number | null
function medianOf(runs: readonly Run[], figure: keyof Run): number | null {
  const values = runs.map((run) => run[figure]).filter((value) => value !== null)
  return values.length === 0 ? null : median(values)
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** The first of them that is busy: the client has one thread, the servers may have more. */
export function limitOf(
  perSecond: number,
  cpu: Pick<Row, 'clientCpuMicros' | 'serverCpuMicros' | 'brokerCpuMicros'>,
): Limit {
  const isBusy = (micros: number | null): boolean => ((micros ?? 0) * perSecond) / 1_000_000 >= BUSY
  if (isBusy(cpu.clientCpuMicros)) return 'client'
  if (isBusy(cpu.serverCpuMicros)) return 'server'
  return isBusy(cpu.brokerCpuMicros) ? 'broker' : 'latency'
}

export async function writeRows(file: string, rows: readonly Row[]): Promise<void> {
  await writeFile(file, `${JSON.stringify(rows, undefined, 2)}\n`)
}

function lineOf(row: Row, runs: readonly Run[]): string {
  const number = (value: number | null, width: number, digits: number): string =>
    (value === null ? '-' : value.toFixed(digits)).padStart(width)
  const raw = runs.map(({ perSecond }) => Math.round(perSecond)).join(' ')
  return [
    row.store.padEnd(13),
    row.variant.padEnd(13),
    number(row.inFlight, 6, 0),
    number(row.perSecond, 9, 0),
    ...[row.ratioToNaive, row.ratioToRaw, row.ratioToEmpty, row.ratioToByHand].map((ratio) =>
      number(ratio, 6, 2),
    ),
    ...[row.clientCpuMicros, row.serverCpuMicros, row.brokerCpuMicros].map((micros) => number(micros, 7, 1)),
    number(row.p50Micros, 8, 0),
    number(row.p50RatioToNaive ?? row.p50RatioToByHand, 6, 2),
    number(row.p99Micros, 8, 0),
    row.limit.padEnd(7),
    `[${raw}]`,
  ].join(' ')
}

export const heading =
  'store         variant       inFlight perSecond xnaive   xraw xempty  xhand  client  server  broker ' +
  '  p50 us   x p50   p99 us limit   [each run]'
