// What a person reads when a step fails: which step, why, what to do. Never a stack trace.

/** A failure that is explained already; whoever catches it prints it and exits with its code. */
export class Failure extends Error {
  constructor({ step, why, remedy, details = '', exitCode = 1 }) {
    super(why)
    Object.assign(this, { step, why, remedy, details, exitCode })
  }

  print() {
    const details = this.details === '' ? [] : ['', this.details.trimEnd(), '']
    const lines = [`oncemq: ${this.step} failed`, ...details, `  why:        ${this.why}`]
    process.stderr.write([...lines, `  what to do: ${this.remedy}`, ''].join('\n'))
  }
}

const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|META_FETCH_FAIL|ERR_SOCKET/
const CERTIFICATE = /SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|CERT_HAS_EXPIRED|unable to get local issuer/i

const REASONS = [
  [
    /OUTDATED_LOCKFILE/,
    'pnpm-lock.yaml does not match a package.json',
    (pnpm) => `run \`npx -y ${pnpm} install\` and commit pnpm-lock.yaml`,
  ],
  [/ENOSPC/, 'the disk is full', () => 'free some space (about 1 GB) and run the command again'],
  [
    CERTIFICATE,
    'the certificate of the package registry is not trusted',
    () => 'point NODE_EXTRA_CA_CERTS, or `npm config set cafile`, at your certificate authority',
  ],
  [
    OFFLINE,
    'the package registry cannot be reached',
    () => 'check the network, HTTPS_PROXY and `npm config get registry`, then run the command again',
  ],
  [
    /EACCES|EPERM|EROFS/,
    'a file or folder may not be written',
    () => 'make this folder and your home folder writable (was it installed by another user?)',
  ],
]

const KNOWN_LINES_MAX = 3
const UNKNOWN_LINES_MAX = 40
const NOISE = /^(npm error|npm ERR!)?\s+at |^Progress:/

/** Turns the output of npm or pnpm into a reason and a remedy, with the lines that show it. */
export function explain(output, pnpm) {
  const lines = output.split('\n').filter((line) => !NOISE.test(line))
  for (const [pattern, why, remedy] of REASONS) {
    const shown = lines.filter((line) => pattern.test(line)).slice(0, KNOWN_LINES_MAX)
    if (shown.length > 0) return { why, remedy: remedy(pnpm), details: shown.join('\n') }
  }
  return {
    why: 'see the output above',
    remedy: 'fix what it names, then run the command again',
    details: lines.slice(-UNKNOWN_LINES_MAX).join('\n'),
  }
}
