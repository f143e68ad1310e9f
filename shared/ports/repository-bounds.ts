// How many names a repository may hold in one place: for all that list it, and for stores that must know all names of a folder before they
// can return the first.

import { TerminalError } from '#shared/kernel/errors.ts'

/** The most names that one LIST may return. A repository has one list of a kind at a time, and a few more after crashes. */
const MOST_NAMES: Record<string, number> = {
  retire: 10_000,
  doom: 10_000,
  waits: 10_000,
  probe: 100_000,
  packs: 20_000_000,
}
const MOST_OTHER_NAMES = 2_000_000

/** The most names that a list of `prefix` may return. */
export function mostNames(prefix: string): number {
  return MOST_NAMES[folderOf(prefix)] ?? MOST_OTHER_NAMES
}

/** Returns a TerminalError `RepositoryFlooded`. */
export function flooded(where: string, what: string): TerminalError {
  return new TerminalError(
    'RepositoryFlooded',
    `${where}: there are ${what}, more than Dormouse writes: somebody else writes the bucket. Change its credentials, and remove what is not Dormouse's`,
  )
}

/** The first part of a key. */
export function folderOf(key: string): string {
  return key.split('/', 1)[0] ?? ''
}
