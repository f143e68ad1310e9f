// One list of packs to delete: first `retire/<g>`, then `waits/<g>`, then `doom/<g>`, then the packs are deleted, then the lists. Any
// number of processes may work on the same list: what is recorded in the store counts, not what each process would decide alone.

import { randomBytes } from 'node:crypto'
import { TerminalError } from '#shared/kernel/errors.ts'
import { putOnce } from '#shared/repository/core/put-once.ts'
import {
  openDoomList,
  openRetireList,
  openWaitList,
  sealDoomList,
  sealRetireList,
  sealWaitList,
} from '#shared/repository/format/markers.ts'
import { doomKey, packKey, retireKey, sessionInKey, sessionKey, waitsKey } from '#shared/repository/format/names.ts'
import { fenceIdle, type PruneRun } from './prune-run.ts'

/** Every slice of an upload reads the list at its start; a list of this many packs has about one megabyte. */
const MOST_PACKS = 32_768

type GenerationEnd = { state: 'done' | 'more' } | { state: 'waiting'; waitsFor: string[] }

export async function standingGenerations({ repository, signal }: PruneRun): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of repository.store.list(retireKey(''), signal)) found.push(key.slice(retireKey('').length))
  return found
}

/**
 * Packs of ended sessions that no root names. A running session may still name its own packs; some other packs are kept for the next
 * backup.
 */
export function unnamedPacks(
  run: PruneRun,
  most = Number.POSITIVE_INFINITY,
  alsoEnded: ReadonlySet<string> = new Set(),
): string[] {
  const { survey, reach, kept } = run
  const unnamed: string[] = []
  for (const pack of survey.packs) {
    if (unnamed.length >= most) break
    const session = pack.slice(0, pack.indexOf('/'))
    if (reach.packs.has(pack) || kept.pack(pack)) continue
    if (reach.ended.has(session) || alsoEnded.has(session)) unnamed.push(pack)
  }
  return unnamed
}

/** undefined: there is nothing to delete. From now on, no session that begins reuses a pack of the list. */
export async function retireUnnamed(run: PruneRun): Promise<string | undefined> {
  const { repository, clock } = run
  const packs = unnamedPacks(run, MOST_PACKS)
  if (packs.length === 0) return undefined
  const generation = randomBytes(8).toString('hex')
  const list = sealRetireList(repository.keys, generation, packs, clock.nowMs())
  await repository.store.putIfAbsent(retireKey(generation), list)
  return generation
}

/** Advances the list as far as possible now. Also `done` when another process has finished it. */
export async function advanceGeneration(run: PruneRun, generation: string): Promise<GenerationEnd> {
  const { repository, remover, survey } = run
  const retired = await readList(run, retireKey(generation), openRetireList)
  if (retired === undefined) return { state: 'done' }
  let doomed = await readList(run, doomKey(generation), openDoomList)
  if (doomed === undefined) {
    const waitsFor = await activeSessions(run, generation)
    if (waitsFor === undefined) return { state: 'more' }
    if (waitsFor.length > 0) return { state: 'waiting', waitsFor }
    doomed = await settleDoom(run, generation, retired)
    if (doomed === undefined) return { state: 'done' }
  }
  if (!(await refuseNamed(run, generation, doomed))) return { state: 'more' }
  // A pack that is no longer listed was deleted in an earlier slice: a list that takes several slices must not start again in each.
  const packs = doomed.flatMap((pack) => {
    const bytes = survey.packs.get(pack)
    return bytes === undefined ? [] : [{ key: packKey(pack), bytes }]
  })
  const gone = { done: doomed.length - packs.length, total: doomed.length }
  run.packsGone = gone
  if (!(await remover.removeAll(packs, () => void gone.done++))) return { state: 'more' }
  for (const pack of doomed) survey.packs.delete(pack)
  // `retire` goes first: a process that finds it gone knows that the list is finished, and trusts neither of the others.
  for (const key of [retireKey(generation), waitsKey(generation), doomKey(generation)])
    await repository.store.delete(key)
  return { state: 'done' }
}

/**
 * Sessions that may still name retired packs. A prune waits only for sessions that had begun, and had not ended, when the retire list was
 * written: a session that began later has read the list. Idle sessions are given up. Empty: `reach` has seen the roots of all of them.
 * undefined: time was up.
 */
async function activeSessions(run: PruneRun, generation: string): Promise<string[] | undefined> {
  const { reach, survey } = run
  const recorded = await recordedWaits(run, generation)
  if (recorded === undefined) return undefined
  const active = async () => {
    if (!(await reach.look(survey.packs))) return undefined
    return recorded.sessions.filter((session) => !reach.ended.has(session))
  }
  const first = await active()
  if (first === undefined || first.length === 0) return first
  if (!(await fenceIdle(run, first, recorded.sinceMs))) return undefined
  return await active()
}

/**
 * Written once: a list made later would hold sessions that need not be waited for, and the wait would never end. undefined: time was up.
 */
async function recordedWaits(
  run: PruneRun,
  generation: string,
): Promise<{ sessions: string[]; sinceMs: number } | undefined> {
  const { repository, reach, survey, clock, signal } = run
  const key = waitsKey(generation)
  const known = await readList(run, key, openWaitList)
  const sinceMs = survey.others.get(key)?.modifiedMs ?? Number.POSITIVE_INFINITY
  if (known !== undefined) return { sessions: known, sinceMs }
  const begun: string[] = []
  for await (const { key: marker } of repository.store.list(sessionKey(''), signal)) {
    const session = sessionInKey(marker)
    if (session !== undefined) begun.push(session)
  }
  if (!(await reach.look(survey.packs))) return undefined
  const sessions = begun.filter((session) => !reach.ended.has(session))
  await putOnce(repository.store, key, sealWaitList(repository.keys, generation, sessions, clock.nowMs()))
  return { sessions: (await readList(run, key, openWaitList)) ?? sessions, sinceMs }
}

/** The packs to delete, decided once for all processes that work on this list. undefined: another process has finished it. */
async function settleDoom(run: PruneRun, generation: string, retired: string[]): Promise<string[] | undefined> {
  const { repository, reach, clock } = run
  const { store, keys } = repository
  const own = retired.filter((pack) => !reach.packs.has(pack))
  await putOnce(store, doomKey(generation), sealDoomList(keys, generation, own, clock.nowMs()))
  const doomed = await readList(run, doomKey(generation), openDoomList)
  // This list may have been written after another process finished the generation. Then no session heeds it, and sessions may reuse the
  // packs that it names.
  if ((await store.get(retireKey(generation))) !== undefined && doomed !== undefined) return doomed
  for (const key of [waitsKey(generation), doomKey(generation)]) await store.delete(key)
  return undefined
}

/**
 * By the protocol, no root names a doomed pack. A root can name one if the store's LIST is wrong, or if a session belongs to a program
 * that does not follow the protocol. Names that this run learned from a root that was forgotten later do not count. false: time was up.
 */
async function refuseNamed(run: PruneRun, generation: string, doomed: readonly string[]): Promise<boolean> {
  if (!doomed.some((pack) => run.reach.packs.has(pack))) return true
  const reach = await run.lookAnew()
  if (reach === undefined) return false
  run.reach = reach
  const named = doomed.find((pack) => reach.packs.has(pack))
  if (named === undefined) return true
  throw new TerminalError(
    'PruneUnsafe',
    `${run.repository.store.location}: a backup names ${packKey(named)}, which ${doomKey(generation)} is about to delete; nothing was deleted`,
  )
}

type Opener<T> = (keys: PruneRun['repository']['keys'], generation: string, bytes: Uint8Array, where: string) => T

async function readList<T>({ repository, signal }: PruneRun, key: string, open: Opener<T>): Promise<T | undefined> {
  const bytes = await repository.store.get(key, signal)
  if (bytes === undefined) return undefined
  return open(repository.keys, key.slice(key.indexOf('/') + 1), bytes, `${repository.store.location}/${key}`)
}
