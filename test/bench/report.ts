import { writeFile } from 'node:fs/promises'
import { median } from './measure.ts'
import type { Run } from './measure.ts'

/** One line of the report; ratios are of medians within one interleaved run. */
export interface Row {
  readonly suite: 'store' | 'filled' | 'consumer'
  readonly broker: string | null
  readonly store: string
  readonly variant: string
  readonly inFlight: number
  readonly perSecond: number
  readonly ratioToNaive: number | null
  readonly ratioToRaw: number | null
  readonly ratioToEmpty: number | null
  readonly clientCpuMicros: number
}

export interface Subject {
  readonly suite: Row['suite']
  readonly broker: string | null
  readonly store: string
  readonly inFlight: number
}

/** Makes rows of the runs of one subject, prints them with the raw figures, and answers them. */
export function reported(subject: Subject, runs: ReadonlyMap<string, readonly Run[]>): readonly Row[] {
  const speedOf = (variant: string): number | undefined => {
    const measured = runs.get(variant)
    return measured && median(measured.map(({ perSecond }) => perSecond))
  }
  const ratio = (perSecond: number, to: string): number | null => {
    const base = speedOf(to)
    return base === undefined ? null : Number((perSecond / base).toFixed(3))
  }
  return [...runs].map(([variant, measured]) => {
    const perSecond = median(measured.map((run) => run.perSecond))
    const row: Row = {
      ...subject,
      variant,
      perSecond: Math.round(perSecond),
      ratioToNaive: ratio(perSecond, 'naive'),
      ratioToRaw: ratio(perSecond, 'raw'),
      ratioToEmpty: ratio(perSecond, 'empty'),
      clientCpuMicros: Number(median(measured.map((run) => run.clientCpuMicros)).toFixed(2)),
    }
    console.log(lineOf(row, measured))
    return row
  })
}

export async function writeRows(file: string, rows: readonly Row[]): Promise<void> {
  await writeFile(file, `${JSON.stringify(rows, undefined, 2)}\n`)
}

function lineOf(row: Row, runs: readonly Run[]): string {
  const shown = (ratio: number | null): string => (ratio === null ? '     -' : ratio.toFixed(2).padStart(6))
  const raw = runs.map(({ perSecond }) => Math.round(perSecond)).join(' ')
  return [
    row.store.padEnd(12),
    row.variant.padEnd(7),
    String(row.inFlight).padStart(6),
    String(row.perSecond).padStart(9),
    shown(row.ratioToNaive),
    shown(row.ratioToRaw),
    shown(row.ratioToEmpty),
    row.clientCpuMicros.toFixed(1).padStart(8),
    `  [${raw}]`,
  ].join(' ')
}

export const heading = 'store        variant inFlight perSecond xnaive   xraw xempty   cpu us   [each run]'
