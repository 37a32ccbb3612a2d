import { chown } from 'node:fs/promises'
import { userInfo } from 'node:os'

// A user without rights, called nobody, whom every Linux knows.
const NOBODY = 65_534

/** The command line that runs a program which refuses to be root: as root, it becomes another user first. */
export function withoutRoot(command: string, args: readonly string[]): [string, string[]] {
  if (userInfo().uid !== 0) return [command, [...args]]
  // The kernel forgets the signal for the parent's end at a change of user, so it is asked for again.
  const become = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--pdeathsig', 'KILL']
  return ['setpriv', [...become, '--', command, ...args]]
}

/** Lets such a program write into a folder. */
export async function giveAway(folder: string): Promise<void> {
  if (userInfo().uid === 0) await chown(folder, NOBODY, NOBODY)
}
