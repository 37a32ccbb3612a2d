import type { HandWritten } from './hand-written.ts'
import { mongodb } from './mongodb.ts'
import { mariadb, mysql8 } from './mysql.ts'
import { postgres } from './postgres.ts'
import { redis } from './redis.ts'
import { sqlite } from './sqlite.ts'

/** Every store that has a hand-written opponent. */
export const handWritten: readonly HandWritten[] = [sqlite, mongodb, postgres, mysql8, mariadb, redis]
