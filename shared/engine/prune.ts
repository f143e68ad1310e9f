// Garbage collection: deletes what no backup names, beside running backups and other prune runs, in slices.
// The protocol and why it is safe: docs/format, "Garbage collection".

import type { Clock } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { PruneReport, PruneSlice } from '#shared/ports/mover.ts'
import { probeConditionalPut } from './conditional-put.ts'
import { advanceGeneration, retireUnnamed, standingGenerations, unnamedPacks } from './prune-generation.ts'
import { INCOMPLETE_LIVES_MS, isKept, removeIncomplete, removeLeftovers } from './prune-leftovers.ts'
import { Remover } from './prune-remover.ts'
import { fenceIdle, type PruneRun } from './prune-run.ts'
import { storeNowMs, surveyOf } from './prune-survey.ts'
import { Reach } from './reach.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

export type PruneOptions = PruneSlice & {
  clock: Clock
  /** Nothing is written or deleted; the report says what would be. */
  dryRun?: boolean | undefined
  /** Somebody vouches for it that nothing else works on the repository: all sessions that have not ended are given up. */
  exclusive?: boolean | undefined
  incompleteLivesMs?: number | undefined
  warn?: Warn | undefined
  /** Told each name in a dry run. */
  onKey?: ((key: string) => void) | undefined
}

/**
 * One slice. TerminalError `NoConditionalPut`: the store lacks what the protocol needs. CorruptionError: a root, or a page
 * of one, cannot be read. In both cases nothing was deleted.
 */
export async function pruneRepository(repository: Repository, options: PruneOptions): Promise<PruneReport> {
  const { dryRun = false, exclusive = false } = options
  if (!dryRun && !exclusive) await requireConditionalPut(repository)
  const run = await lookAround(repository, options)
  if (dryRun) return await rehearse(run, options)
  await fenceIdle(run, unended(run), Number.POSITIVE_INFINITY)
  await run.reach.look(run.survey.packs)
  // Index runs go before the packs that they name.
  const begun = await removeLeftovers(run)
  const { isWhole, waitsFor } = await retirePacks(run)
  const isTidy = (await removeLeftovers(run)) && (await removeIncomplete(run, incompleteLivesMs(options)))
  const state = !(begun && isWhole && isTidy) ? 'more' : waitsFor.length > 0 ? 'waiting' : 'done'
  return reportOf(run, state, waitsFor)
}

/** Names of everything that no backup reaches and the format does not keep: for tests, once sessions have ended. */
export async function unreachableObjects(repository: Repository): Promise<string[]> {
  const reach = new Reach(repository, () => {})
  await reach.look({ has: () => false })
  const found: string[] = []
  for await (const { key } of repository.store.list('')) if (!isKept(key, reach)) found.push(key)
  return found
}

async function requireConditionalPut({ store }: Repository): Promise<void> {
  if (await probeConditionalPut(store)) return
  throw new TerminalError(
    'NoConditionalPut',
    `${store.location}: the store ignores PUT with if-none-match; while no backup runs, use dormouse prune --exclusive`,
  )
}

async function lookAround(repository: Repository, options: PruneOptions): Promise<PruneRun> {
  const { clock, sliceMs, sessionIdleMs, dryRun = false, exclusive = false, warn = () => {}, signal } = options
  const untilMs = clock.monotonicMs() + sliceMs
  const isOver = () => signal?.aborted === true || clock.monotonicMs() >= untilMs
  const survey = await surveyOf(repository.store, signal)
  const lookAnew = async () => {
    const reach = new Reach(repository, warn, signal)
    await reach.look(survey.packs)
    return reach
  }
  const reach = await lookAnew()
  const nowMs = dryRun ? newestMs(survey.lastWriteMs.values()) : await storeNowMs(repository.store, signal)
  const idleSinceMs = exclusive ? Number.POSITIVE_INFINITY : nowMs - sessionIdleMs
  const remover = new Remover(repository, isOver, dryRun)
  return {
    repository,
    survey,
    reach,
    lookAnew,
    remover,
    nowMs,
    idleSinceMs,
    clock,
    fenced: [],
    isOver,
    dryRun,
    signal,
    warn,
  }
}

/** A dry run writes nothing to learn the store's time: it is at least this. */
function newestMs(times: Iterable<number>): number {
  let newest = 0
  for (const time of times) newest = Math.max(newest, time)
  return newest
}

function unended({ survey, reach }: PruneRun): string[] {
  return [...survey.lastWriteMs.keys()].filter((session) => !reach.ended.has(session))
}

async function retirePacks(run: PruneRun): Promise<{ isWhole: boolean; waitsFor: string[] }> {
  const waitsFor: string[] = []
  for (;;) {
    let generations = await standingGenerations(run)
    if (generations.length === 0) generations = [await retireUnnamed(run)].filter((one) => one !== undefined)
    if (generations.length === 0) return { isWhole: true, waitsFor }
    for (const generation of generations) {
      if (run.isOver()) return { isWhole: false, waitsFor }
      const end = await advanceGeneration(run, generation)
      if (end.state === 'more') return { isWhole: false, waitsFor }
      if (end.state === 'waiting') waitsFor.push(...end.waitsFor)
    }
    // The next list waits until this one is through: each of them is read by every session that begins.
    if (waitsFor.length > 0) return { isWhole: true, waitsFor }
  }
}

/** What a run would remove if nobody worked on the repository any more. */
async function rehearse(run: PruneRun, options: PruneOptions): Promise<PruneReport> {
  await fenceIdle(run, unended(run), Number.POSITIVE_INFINITY)
  const alsoEnded = new Set(run.fenced)
  const packs = unnamedPacks(run, alsoEnded).map((pack) => ({
    key: `packs/${pack}`,
    bytes: run.survey.packs.get(pack) ?? 0,
  }))
  await run.remover.removeAll(packs)
  await removeLeftovers(run, alsoEnded)
  await removeIncomplete(run, incompleteLivesMs(options))
  for (const key of run.remover.keys) options.onKey?.(key)
  return reportOf(
    run,
    'done',
    unended(run).filter((session) => !alsoEnded.has(session)),
  )
}

const incompleteLivesMs = ({ incompleteLivesMs: given }: PruneOptions): number => given ?? INCOMPLETE_LIVES_MS

function reportOf(run: PruneRun, state: PruneReport['state'], waitsFor: string[]): PruneReport {
  const kept = { objects: 0, bytes: 0 }
  for (const pack of run.reach.packs) {
    kept.objects++
    kept.bytes += run.survey.packs.get(pack) ?? 0
  }
  return { state, waitsFor: [...new Set(waitsFor)], fenced: run.fenced, removed: run.remover.removed, kept }
}
