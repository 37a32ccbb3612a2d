import { createHash } from 'node:crypto'

/** A script and the hash by which the server knows it. */
export interface Script {
  readonly lua: string
  readonly sha1: string
}

/** The states as they are stored. */
export const STATES = Object.freeze({ f: 'free', r: 'running', d: 'done' } as const)

/**
 * A record is a string under a key of its own, with numbers in hexadecimal:
 *
 *   <state> <until> <kept> <epoch> <attempts> <claim id> <about>       all without a space between
 *      1       11     11      8        8          32      fingerprint or '-', ' ', '+' and label or '-',
 *                                                         and of a result NUL and itself in base64
 *
 * `until` is when the lease, or the retention of what is done, ends: milliseconds since 1970. `kept` is the
 * key's own expiry (PXAT), which takes the record away when nobody needs its epoch any more: it outlives the
 * lease. Since a claim keeps its record for lease and retention, a completion within the lease finds it kept
 * for long enough, and overwrites the first twelve characters in place: measured to cost two thirds of
 * writing the record anew, and to make the append-only file much shorter.
 *
 * A string, not a hash: measured to be a fifth faster and an eighth smaller. Fixed widths, so that the first
 * claim of a key is one command, which appends what the client gave. Text, since people look at it with
 * redis-cli and every client hands it on as it is; a label has no NUL.
 *
 * What holds for all scripts:
 * - One script runs at a time and nothing between: each entry is one atomic step.
 * - Keys come by KEYS and everything else by ARGV; the text of a script never changes.
 * - What entries have of their own comes as one argument for all, since each argument costs time: claim ids
 *   of 32 characters each, and texts with a NUL after each. Texts are left out where no entry has one.
 * - Time is the server's own, and expiries are absolute: Redis would rewrite a relative one for its file.
 * - Numbers are written by string.format: `tostring` and `..` write 14 digits at most.
 */
const digits = (count: number): string => `(${'%x'.repeat(count)})`
const LAYOUT = `'^([frd])${digits(11)}${digits(11)}${digits(8)}${digits(8)}${digits(32)}(.*)$'`

/** The same for JavaScript. */
export const LAYOUT_PATTERN = /^([frd])([\da-f]{11})([\da-f]{11})([\da-f]{8})([\da-f]{8})([\da-f]{32})([^]*)$/

/** About a record without fingerprint, label and result. */
export const ABOUT_NOTHING = '- -'

const PRELUDE = `
local call, sub, find, format = redis.call, string.sub, string.find, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`

// In a loop over the keys: the key's own text of all of them.
const nextText = (texts: string, text: string): string => `
  if ${texts} then
    local nul = find(${texts}, '\\0', from, true)
    ${text}, from = sub(${texts}, from, nul - 1), nul + 1
  end`

// KEYS: records. ARGV: lease and retention in ms, claim ids, abouts or nothing.
// -> first how many were granted as new (epoch 1, attempt 1); then, for every other key, a string:
//    '<position> g <epoch> <attempt>' granted, '<position> b <epoch> <ms left>' busy, '<position> d <about>'
//    done, '<position> c ' in conflict: both fingerprints are known (no '-' and ' ') and differ.
// The first claim of a key is one SET NX; what is there already is read and judged in the same step.
const claim = `${PRELUDE}
local ids, lease, last = ARGV[3], now + ARGV[1], now + ARGV[1] + ARGV[2]
local running, kept = format('r%011x%011x', lease, last), format('%d', last)
local fresh = running .. '0000000100000001'
local answers, granted, abouts, from = {0}, 0, ARGV[4], 1
for i = 1, #KEYS do
  local key, id = KEYS[i], sub(ids, 32 * i - 31, 32 * i)
  local about = '${ABOUT_NOTHING}'${nextText('abouts', 'about')}
  if call('SET', key, fresh .. id .. about, 'NX', 'PXAT', kept) then
    granted = granted + 1
  else
    local record = call('GET', key)
    local state, ends, expiry, epoch, attempts, owner, was = string.match(record, ${LAYOUT})
    if not state then return redis.error_reply('ONCEMQ_LAYOUT expected a record of this version') end
    ends, epoch, attempts = tonumber(ends, 16), tonumber(epoch, 16), tonumber(attempts, 16)
    local answer
    if state == 'r' and owner == id then
      call('SET', key, running .. sub(record, 24), 'PXAT', kept)
      answer = format('%d g %d %d', i, epoch, attempts)
    elseif state ~= 'd' and sub(about, 2, 2) ~= ' ' and sub(was, 2, 2) ~= ' '
      and sub(about, 1, 32) ~= sub(was, 1, 32) and tonumber(expiry, 16) > now then
      answer = format('%d c ', i)
    elseif state == 'r' and ends > now then
      answer = format('%d b %d %d', i, epoch, ends - now)
    elseif state == 'd' and ends > now then
      answer = format('%d d ', i) .. was
    else
      epoch = epoch + 1
      attempts = state == 'd' and 1 or attempts + 1
      call('SET', key, running .. format('%08x%08x', epoch, attempts) .. id .. about, 'PXAT', kept)
      answer = format('%d g %d %d', i, epoch, attempts)
    end
    answers[#answers + 1] = answer
  end
end
answers[1] = granted
return answers`

/** What the three scripts that change a record differ in. */
interface Change {
  /** Which argument has the claim ids. */
  readonly claimIds: number
  /** What is the same for all entries. */
  readonly prepare: string
  /** What comes before an entry is looked at. */
  readonly next?: string
  readonly write: string
  /** Which other state is ok as it is. */
  readonly already?: string
}

// Changes records that run with the entry's claim id, read and written in one step.
// -> first how many were ok; then the positions of those that were lost.
const change = ({ claimIds, prepare, next = '', write, already = 'r' }: Change): string => `${PRELUDE}
local ids = ARGV[${claimIds}]
${prepare}
local records = call('MGET', unpack(KEYS))
local answers, changed = {0}, 0
for i = 1, #KEYS do
  local key, record = KEYS[i], records[i]${next}
  local state = record and sub(record, 40, 71) == sub(ids, 32 * i - 31, 32 * i) and sub(record, 1, 1)
  if state == 'r' then
${write}
  end
  if state == 'r' or state == '${already}' then
    changed = changed + 1
  else
    answers[#answers + 1] = i
  end
end
answers[1] = changed
return answers`

// KEYS: records. ARGV: lease and retention in ms, claim ids.
const renew = change({
  claimIds: 3,
  prepare: `
local last = now + ARGV[1] + ARGV[2]
local running, kept = format('r%011x%011x', now + ARGV[1], last), format('%d', last)`,
  write: `
    call('SET', key, running .. sub(record, 24), 'PXAT', kept)`,
})

// KEYS: records. ARGV: retention in ms, claim ids, results (in base64 after '+', or empty) or nothing. What
// this claim id has completed already is ok and stays as it is. Times compare as texts, being of equal width.
const complete = change({
  claimIds: 2,
  prepare: `
local results, result, from = ARGV[3], '', 1
local retained, kept = format('%011x', now + ARGV[1]), format('%d', now + ARGV[1])`,
  next: nextText('results', 'result'),
  write: `
    if result == '' and sub(record, 13, 23) >= retained then
      call('SETRANGE', key, 0, 'd' .. retained)
    else
      if result ~= '' then record = record .. '\\0' .. sub(result, 2) end
      call('SET', key, 'd' .. retained .. retained .. sub(record, 24), 'PXAT', kept)
    end`,
  already: 'd',
})

// KEYS: records. ARGV: retention in ms, attempts, claim ids.
const release = change({
  claimIds: 3,
  prepare: `
local free = format('f%011x%011x', now + ARGV[1], now + ARGV[1])
local attempts, kept = format('%08x', ARGV[2]), format('%d', now + ARGV[1])`,
  write: `
    call('SET', key, free .. sub(record, 24, 31) .. attempts .. sub(record, 40), 'PXAT', kept)`,
})

// KEYS: records. -> first the time; then for each key false or the record. It is no
// MGET, which would hide a key of another kind.
const inspect = `${PRELUDE}
local answers = {format('%d', now)}
for i, key in ipairs(KEYS) do answers[i + 1] = call('GET', key) end
return answers`

// KEYS: records. -> how many were asked to go. UNLINK frees a large result in the background.
const forget = `
for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end
return {#KEYS}`

/** Every script of the store. */
export const scripts = Object.freeze({
  claim: script(claim),
  renew: script(renew),
  complete: script(complete),
  release: script(release),
  inspect: script(inspect),
  forget: script(forget),
})

function script(text: string): Script {
  const lua = text.trim()
  return Object.freeze({ lua, sha1: createHash('sha1').update(lua).digest('hex') })
}
