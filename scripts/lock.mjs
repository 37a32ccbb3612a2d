// One set-up at a time: two `npm test` in one clone would else write the same node_modules together.
import { mkdirSync, readFileSync, rmSync, statSync, utimes, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from './failure.mjs'

const WAIT_MAX_MS = 15 * 60_000
const POLL_MS = 200
// The holder touches its lock; one that nobody touches is abandoned, also if its pid is now another
// process's.
const TOUCH_MS = 5_000
const UNTOUCHED_MAX_MS = 60_000

/** Runs `work` while holding the lock file; a lock whose process has ended is taken over. */
export async function withLock(file, onWait, work) {
  mkdirSync(dirname(file), { recursive: true })
  await acquire(file, onWait)
  const touch = () => utimes(file, new Date(), new Date(), () => {}) // A missed touch does no harm.
  const timer = setInterval(touch, TOUCH_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    rmSync(file, { force: true })
  }
}

async function acquire(file, onWait) {
  const deadline = Date.now() + WAIT_MAX_MS
  for (let attempt = 0; Date.now() < deadline; attempt += 1) {
    if (tryCreate(file)) return
    if (isAbandoned(file)) {
      rmSync(file, { force: true })
      continue
    }
    if (attempt === 0) onWait()
    await delay(POLL_MS)
  }
  throw new Failure({
    step: 'set-up',
    why: `another set-up has held ${file} for ${WAIT_MAX_MS / 60_000} minutes`,
    remedy: `end it, or delete ${file} if none is running`,
  })
}

function tryCreate(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

function isAbandoned(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    if (Date.now() - statSync(file).mtimeMs > UNTOUCHED_MAX_MS) return true
    return pid !== 0 && !isAlive(pid) // 0: created a moment ago, and about to be written.
  } catch {
    return false // Released in this very moment: the next attempt gets it.
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
