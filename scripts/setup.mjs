// Everything between a fresh clone and a running task. Needs Node >= 20 and npm, nothing else: pnpm and Node
// 24 come as packages. Written without dependencies, since it runs before there are any.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Failure, explain } from './failure.mjs'
import { fingerprint, isStamped, stamp } from './fingerprint.mjs'
import { withLock } from './lock.mjs'
import { startProgress } from './progress.mjs'

const NODE_MIN = 20

/** The Node 24 that every task runs under. */
export function nodeBinary(root) {
  const name = process.platform === 'win32' ? 'node.exe' : 'node'
  return join(root, 'node_modules', 'node', 'bin', name)
}

/** Installs what is missing; returns at once when the last set-up still fits. */
export async function setUp(root) {
  requireNode()
  if (isDone(root)) return
  const announceWait = () => process.stderr.write('oncemq: waiting for another set-up in this folder\n')
  try {
    await withLock(join(root, '.cache', 'setup.lock'), announceWait, () => install(root))
  } catch (error) {
    if (error instanceof Failure || error.code === undefined) throw error
    throw new Failure({ step: 'set-up', ...explain(error.message, 'pnpm') })
  }
}

function requireNode() {
  const major = Number(process.versions.node.split('.')[0])
  if (major >= NODE_MIN) return
  throw new Failure({
    step: 'set-up',
    why: `expected Node.js ${NODE_MIN} or newer, found ${process.versions.node}`,
    remedy: `install Node.js ${NODE_MIN} or newer and run the command again`,
  })
}

function isDone(root) {
  return existsSync(nodeBinary(root)) && isStamped(root, fingerprint(root))
}

async function install(root) {
  if (isDone(root)) return // The set-up that was waited for has done it.
  process.stderr.write('oncemq: first run or changed dependencies, setting up\n')
  const pnpm = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager
  const value = fingerprint(root)
  await pnpmStep({ title: `[1/3] fetching ${pnpm}`, root, pnpm, args: ['--version'] })
  const args = ['install', '--frozen-lockfile', '--reporter=append-only', '--loglevel=info']
  await pnpmStep({ title: '[2/3] installing the packages', root, pnpm, args })
  checkNode(root)
  stamp(root, value)
}

async function pnpmStep({ title, root, pnpm, args }) {
  const progress = startProgress(title)
  const { code, output } = await runPnpm(root, pnpm, args, progress)
  progress.end(code === 0 ? 'done' : 'failed')
  if (code === 0) return
  throw new Failure({ step: title, ...explain(output, pnpm), exitCode: code })
}

function checkNode(root) {
  const title = '[3/3] checking Node.js 24'
  const { status, stdout, error } = spawnSync(nodeBinary(root), ['--version'], { encoding: 'utf8' })
  if (status === 0) {
    process.stderr.write(`${title} done, ${stdout.trim()}\n`)
    return
  }
  throw new Failure({
    step: title,
    why: `${nodeBinary(root)} does not run${error === undefined ? '' : ` (${error.code})`}`,
    remedy: 'delete node_modules and run the command again; Node.js 24 needs Linux (glibc), macOS or Windows',
  })
}

function runPnpm(root, pnpm, args, progress) {
  const [command, prefix] = npmCommand()
  const child = spawn(command, [...prefix, 'exec', '--yes', '--', pnpm, ...args], {
    cwd: root,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: command === 'npm' && process.platform === 'win32',
  })
  return new Promise((resolve, reject) => {
    let output = ''
    const collect = (chunk) => {
      output += chunk
      const last = output.trimEnd().split('\n').at(-1) ?? ''
      if (last.startsWith('Progress:')) progress.update(last.slice('Progress: '.length))
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.on('error', (error) => {
      progress.end('failed')
      reject(startFailure(error, command))
    })
    child.on('close', (code, signal) => {
      resolve({ code: code ?? 1, output: signal === null ? output : `${output}\nended by ${signal}` })
    })
  })
}

function startFailure(error, command) {
  const why = `\`${command}\` cannot be started (${error.code})`
  return new Failure({
    step: 'set-up',
    why,
    remedy: 'install npm (it comes with Node.js) and see that it is on PATH',
  })
}

// The npm that runs this script is there for certain; one on PATH may not be.
function npmCommand() {
  const cli = process.env.npm_execpath
  return cli !== undefined && basename(cli) === 'npm-cli.js' ? [process.execPath, [cli]] : ['npm', []]
}

// CI: pnpm asks no question. loglevel: .npmrc is silent for the banner's sake, yet errors are wanted here.
// The retries: npm's own settings wait minutes before they say that the network is down.
function environment() {
  return {
    ...process.env,
    CI: 'true',
    npm_config_loglevel: 'error',
    npm_config_update_notifier: 'false',
    npm_config_fetch_retries: '3',
    npm_config_fetch_retry_mintimeout: '1000',
    npm_config_fetch_retry_maxtimeout: '5000',
  }
}
