import { createHash } from 'node:crypto'

/** A script and the hash by which the server knows it. */
export interface Script {
  readonly lua: string
  readonly sha1: string
}

/** The states as they are stored. */
export const STATES = Object.freeze({ f: 'free', r: 'running', d: 'done' } as const)

/**
 * A record is a string under a key of its own:
 *
 *   <state> <claim id> ' ' <until> ' ' <epoch> ' ' <attempts> ' ' <about>
 *      1        32           15                                 fingerprint or '-', ' ', '+' and label or '-',
 *                                                               and of a result NUL and itself in base64
 *
 * `until` is when the lease, or the retention of what is done, ends: milliseconds since 1970. The key's own
 * expiry (PX) takes the record away when nobody needs its epoch any more: it outlives the lease. A string,
 * not a hash: it was measured to be a fifth faster and an eighth smaller, as the first claim of a key is one
 * command and a completion two. Text, not packed bytes: people look at it with redis-cli, and every client
 * hands it on as it is. The label has no NUL (the contract says so), which makes the last part unambiguous.
 *
 * What holds for all scripts:
 * - One script runs at a time and nothing between: each entry is one atomic step, and so is the whole part
 *   of a batch that one script has.
 * - Keys come by KEYS and everything else by ARGV; the text of a script never changes.
 * - Time is the server's own.
 * - Numbers are written by string.format('%d'): `tostring` and `..` write 14 digits at most.
 */
const LAYOUT = `'^([frd])(%x+) (%d+) (%d+) (%d+) (.*)$'`
// Where the claim id ends and where the rest begins, its space first. Lua counts from 1.
const CLAIM_ID_LAST = 33
const REST_FIRST = 50

/** How many arguments an entry of `claim` and of `update` has. */
export const ENTRY_ARGS = 4

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`

const WRITE = `
local function write(key, state, claim_id, ends, rest, lasts)
  local record = state .. claim_id .. string.format(' %015d', ends) .. rest
  redis.call('SET', key, record, 'PX', string.format('%d', lasts))
end`

// KEYS: records. ARGV, four for each: claim id, lease in ms, retention in ms, about.
// -> first how many were granted as new (epoch 1, attempt 1); then, for every other entry, a string:
//    '<position> g <epoch> <attempt>' granted, '<position> b <epoch> <ms left>' busy, '<position> d <about>'
//    done.
// The first claim of a key is one SET NX; what is there already is read and judged in the same step.
const claim = `${NOW}${WRITE}
local function found(key, claim_id, lease, retention, about)
  local record = redis.call('GET', key)
  local state, owner, ends, epoch, attempts, old = string.match(record, ${LAYOUT})
  if not state then return nil end
  ends = tonumber(ends)
  if state == 'r' and owner == claim_id then
    write(key, 'r', claim_id, now + lease, string.sub(record, ${REST_FIRST}), lease + retention)
    return 'g ' .. epoch .. ' ' .. attempts
  end
  if state == 'r' and ends > now then return 'b ' .. epoch .. string.format(' %d', ends - now) end
  if state == 'd' and ends > now then return 'd ' .. old end
  local attempt = state == 'd' and 1 or attempts + 1
  local grant = string.format('%d %d', epoch + 1, attempt)
  write(key, 'r', claim_id, now + lease, ' ' .. grant .. ' ' .. about, lease + retention)
  return 'g ' .. grant
end

local answers = {0}
for i, key in ipairs(KEYS) do
  local claim_id, lease, retention, about = unpack(ARGV, ${ENTRY_ARGS} * i - 3, ${ENTRY_ARGS} * i)
  local record = 'r' .. claim_id .. string.format(' %015d 1 1 ', now + lease) .. about
  if redis.call('SET', key, record, 'NX', 'PX', string.format('%d', lease + retention)) then
    answers[1] = answers[1] + 1
  else
    local answer = found(key, claim_id, lease, retention, about)
    if not answer then return redis.error_reply('ONCEMQ_LAYOUT expected a record of this version') end
    answers[#answers + 1] = string.format('%d ', i) .. answer
  end
end
return answers`

// KEYS: records. ARGV, four for each: operation, claim id, retention in ms, value. The value of 'renew' is
// the lease in ms, of 'complete' what is appended for the result, of 'release' the attempts.
// -> first how many were ok; then the positions of those that were lost.
// Only a record that runs with this claim id changes; that is read and written in one step.
const update = `${NOW}${WRITE}
local answers = {0}
for i, key in ipairs(KEYS) do
  local operation, claim_id, retention, value = unpack(ARGV, ${ENTRY_ARGS} * i - 3, ${ENTRY_ARGS} * i)
  local record = redis.call('GET', key)
  local state = record and string.sub(record, 2, ${CLAIM_ID_LAST}) == claim_id and string.sub(record, 1, 1)
  local rest = state == 'r' and string.sub(record, ${REST_FIRST})
  if rest and operation == 'complete' then
    write(key, 'd', claim_id, now + retention, rest .. value, retention)
  elseif rest and operation == 'renew' then
    write(key, 'r', claim_id, now + value, rest, value + retention)
  elseif rest and operation == 'release' then
    local epoch, about = string.match(rest, '^ (%d+) %d+ (.*)$')
    write(key, 'f', claim_id, now + retention, ' ' .. epoch .. ' ' .. value .. ' ' .. about, retention)
  elseif state ~= 'd' or operation ~= 'complete' then
    state = nil
  end
  if state == 'r' or state == 'd' then
    answers[1] = answers[1] + 1
  else
    answers[#answers + 1] = i
  end
end
return answers`

// KEYS: records. -> first the time; then for each key false, or '<ms until it expires> <record>'.
// Reads only: what it says of one record is of one moment.
const inspect = `${NOW}
local answers = {string.format('%d', now)}
for i, key in ipairs(KEYS) do
  local record = redis.call('GET', key)
  answers[i + 1] = record and string.format('%d ', redis.call('PTTL', key)) .. record
end
return answers`

// KEYS: records. -> how many are asked to go. UNLINK frees a large result in the background.
const forget = `
for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end
return #KEYS`

/** Every script of the store. */
export const scripts = Object.freeze({
  claim: script(claim),
  update: script(update),
  inspect: script(inspect),
  forget: script(forget),
})

function script(text: string): Script {
  const lua = text.trim()
  return Object.freeze({ lua, sha1: createHash('sha1').update(lua).digest('hex') })
}
