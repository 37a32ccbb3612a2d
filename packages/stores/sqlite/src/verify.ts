import { statfsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Finding } from '@oncemq/core/store'

const SYNCHRONOUS_NAMES = ['OFF', 'NORMAL', 'FULL', 'EXTRA'] as const
const SYNCHRONOUS_FULL = 2

/** Numbers by which Linux knows filesystems that are on other machines: statfs(2). */
const NETWORK_FILESYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
])

/** What the user of this connection should know about its settings. Reads them and changes nothing. */
export function verify(database: DatabaseSync): readonly Finding[] {
  const file = database.location()
  if (file === null) return [inMemory]
  return [journal(database), synchronous(database), filesystem(file)].filter(
    (finding) => finding !== undefined,
  )
}

const inMemory: Finding = Object.freeze({
  severity: 'warning',
  code: 'sqlite-memory',
  found: 'The database is in the memory of this process: it ends with it, and no other process sees it.',
  remedy: 'Give the path of a file, outside of tests.',
})

function journal(database: DatabaseSync): Finding | undefined {
  const mode = String(database.prepare('PRAGMA journal_mode').get()?.['journal_mode'])
  if (mode === 'wal') return undefined
  return {
    severity: 'warning',
    code: 'sqlite-journal',
    found: `The journal mode is ${mode}: readers and writers block each other, and each commit costs more.`,
    remedy: 'Run PRAGMA journal_mode = WAL once; the file remembers it.',
  }
}

function synchronous(database: DatabaseSync): Finding | undefined {
  const level = Number(database.prepare('PRAGMA synchronous').get()?.['synchronous'])
  if (level >= SYNCHRONOUS_FULL) return undefined
  return {
    severity: 'warning',
    code: 'sqlite-synchronous',
    found: `synchronous is ${SYNCHRONOUS_NAMES[level]}: after a power loss the last messages may run again.`,
    remedy:
      'Use FULL, the default: synchronous of SqliteStore, or PRAGMA synchronous on your own connection.',
  }
}

function filesystem(file: string): Finding | undefined {
  // Other systems number their filesystems differently, and what cannot be asked is not judged.
  if (process.platform !== 'linux') return undefined
  const name = NETWORK_FILESYSTEMS.get(statfsSync(file).type >>> 0)
  if (name === undefined) return undefined
  return {
    severity: 'error',
    code: 'sqlite-network-filesystem',
    found: `The file is on a network filesystem (${name}), where the WAL journal's locks do not hold.`,
    remedy: 'Put it on a disk of this machine, or use the store of a database server.',
  }
}
