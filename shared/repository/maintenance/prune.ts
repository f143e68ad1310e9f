// Garbage collection: deletes what no backup names, in slices, while backups and other prunes run. For the protocol and why it is safe,
// see docs/format, "Garbage collection".

import type { Clock } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { PruneProgress, PruneReport, PruneSlice } from '#shared/ports/mover.ts'
import { probeConditionalPut } from '#shared/repository/core/conditional-put.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { unnamedPacks } from './prune-generation.ts'
import { ALL_KEPT, GIVEN_UP_LIVES_MS, keptForNext } from './prune-kept.ts'
import { INCOMPLETE_LIVES_MS, isKept, removeIncomplete, removeLeftovers } from './prune-leftovers.ts'
import { tidyNotes } from './prune-notes.ts'
import { Remover } from './prune-remover.ts'
import { retirePacks } from './prune-retire.ts'
import { fenceIdle, type PruneRun } from './prune-run.ts'
import { sessionOf, storeNowMs, surveyOf } from './prune-survey.ts'
import { Reach, type SurveyProgress } from './reach.ts'
import { ReachNotes } from './reach-notes.ts'

/** Findings are written down once they have taken this long to find, so that a kill costs no more than this. */
const NOTE_MS = 15_000
const NOTES_PER_SLICE = 8
/**
 * Stores report times in whole seconds, and their clocks differ slightly. The time of an object older than this is not shared by a later
 * one.
 */
const SETTLED_MS = MINUTE_MS

export type PruneOptions = PruneSlice & {
  clock: Clock
  /** Nothing is written or deleted; the report says what would be. */
  dryRun?: boolean | undefined
  /** The caller vouches that nothing else works on the repository: all sessions that have not ended are given up. */
  exclusive?: boolean | undefined
  incompleteLivesMs?: number | undefined
  /** How long the data of a given-up session is kept for the next backup of its volume; ignored with `exclusive`. */
  givenUpLivesMs?: number | undefined
  warn?: Warn | undefined
  /** Called now and then during a long survey. */
  onProgress?: ((progress: PruneProgress) => void) | undefined
  /** Called with each name in a dry run. */
  onKey?: ((key: string) => void) | undefined
}

/**
 * Runs one slice. TerminalError `NoConditionalPut`: the store lacks what the protocol needs. CorruptionError: a root, or a page of a
 * root, cannot be read. In both cases nothing was deleted.
 */
export async function pruneRepository(repository: Repository, options: PruneOptions): Promise<PruneReport> {
  const { dryRun = false, exclusive = false } = options
  if (!dryRun && !exclusive) await requireConditionalPut(repository)
  const run = await lookAround(repository, options)
  if (!(await survey(run))) return reportOf(run, 'more', [], surveyed(run))
  if (dryRun) return await rehearse(run, options)
  if (!(await fenceIdle(run, unended(run), Number.POSITIVE_INFINITY)) || !(await survey(run)))
    return reportOf(run, 'more', [], surveyed(run))
  run.kept = await lookForKept(run)
  // Index runs are deleted before the packs that they name.
  if (!(await removeLeftovers(run))) return reportOf(run, 'more', [], { phase: 'tidy' })
  const { isWhole, waitsFor } = await retirePacks(run)
  if (!isWhole) return reportOf(run, 'more', waitsFor, deleted(run))
  const isTidy =
    (await removeLeftovers(run)) && (await tidyNotes(run)) && (await removeIncomplete(run, incompleteLivesMs(options)))
  const state = !isTidy ? 'more' : waitsFor.length > 0 ? 'waiting' : 'done'
  return reportOf(run, state, waitsFor, { phase: 'tidy' })
}

/** Finds out what roots name, as far as time allows. Nothing is concluded or deleted before this is complete. */
const survey = (run: PruneRun): Promise<boolean> => run.reach.look(run.survey.packs)

/** If time cuts this short, more is kept than needed, which costs space; but the prune must still make progress. */
const lookForKept = (run: PruneRun, alsoEnded?: ReadonlySet<string>) =>
  keptForNext({ ...run, isEnough: run.isNearlyOver }, alsoEnded)

function surveyed({ reach }: PruneRun): PruneProgress {
  return { phase: 'survey', ...reach.progress }
}

function deleted(run: PruneRun): PruneProgress {
  return run.packsGone === undefined ? surveyed(run) : { phase: 'delete', packs: run.packsGone }
}

/**
 * Names of everything that no backup reaches, that the format does not keep, and from which no next backup continues, however old it is:
 * for tests, once sessions have ended.
 */
export async function unreachableObjects(repository: Repository): Promise<string[]> {
  const survey = await surveyOf(repository.store)
  const reach = new Reach(repository, { warn: () => {} })
  await reach.look({ has: () => false })
  const source = { repository, survey, reach, warn: () => {}, signal: undefined }
  const kept = await keptForNext({ ...source, keptSinceMs: Number.NEGATIVE_INFINITY, isEnough: () => false })
  const found: string[] = []
  for await (const { key } of repository.store.list('')) {
    const session = sessionOf(key)
    if (isKept(key, reach) || (session !== undefined && isKeptForNext(key, session))) continue
    found.push(key)
  }
  return found

  function isKeptForNext(key: string, session: string): boolean {
    const pack = key.startsWith(packKey('')) ? key.slice(packKey('').length) : undefined
    return pack === undefined ? kept.session(session) : kept.pack(pack)
  }
}

async function requireConditionalPut({ store }: Repository): Promise<void> {
  if (await probeConditionalPut(store)) return
  throw new TerminalError(
    'NoConditionalPut',
    `${store.location}: the store ignores PUT with if-none-match; while no backup runs, use dormouse prune --exclusive`,
  )
}

async function lookAround(repository: Repository, options: PruneOptions): Promise<PruneRun> {
  const { clock, sessionIdleMs, dryRun = false, exclusive = false, warn = () => {}, signal } = options
  const { givenUpLivesMs = GIVEN_UP_LIVES_MS } = options
  const slice = sliceOf(options)
  const seen = await surveyOf(repository.store, signal)
  const nowMs = dryRun ? newestMs(seen.lastWriteMs.values()) : await storeNowMs(repository.store, signal)
  const noteOptions = { clock, everyMs: slice.noteMs, readOnly: dryRun, warn, isOver: slice.isOver, signal }
  const notes = new ReachNotes(repository, noteOptions)
  const reachOptions = {
    warn,
    signal,
    notes,
    settledMs: nowMs - SETTLED_MS,
    isOver: slice.isOver,
    onNoted: slice.workBegins,
    onRead: slice.tell,
  }
  return {
    repository,
    survey: seen,
    reach: new Reach(repository, reachOptions),
    lookAnew: async () => {
      const reach = new Reach(repository, { ...reachOptions, onNoted: undefined })
      return (await reach.look(seen.packs)) ? reach : undefined
    },
    notes,
    remover: new Remover(repository, slice.isOver, dryRun, signal),
    nowMs,
    idleSinceMs: exclusive ? Number.POSITIVE_INFINITY : nowMs - sessionIdleMs,
    keptSinceMs: exclusive ? Number.POSITIVE_INFINITY : nowMs - givenUpLivesMs,
    kept: ALL_KEPT,
    clock,
    fenced: [],
    packsGone: undefined,
    isOver: slice.isOver,
    isNearlyOver: slice.isNearlyOver,
    dryRun,
    signal,
    warn,
  }
}

/**
 * The time of one slice. Each slice reads LISTs and notes again, which takes longer the larger the repository is: they leave at least
 * half of the time for new work.
 */
function sliceOf({ clock, sliceMs, signal, onProgress }: PruneOptions) {
  let untilMs = clock.monotonicMs() + sliceMs
  let toldMs = clock.monotonicMs()
  return {
    noteMs: Math.min(NOTE_MS, sliceMs / NOTES_PER_SLICE),
    isOver: () => signal?.aborted === true || clock.monotonicMs() >= untilMs,
    isNearlyOver: () => signal?.aborted === true || clock.monotonicMs() >= untilMs - sliceMs / 4,
    workBegins: () => {
      untilMs = Math.max(untilMs, clock.monotonicMs() + sliceMs / 2)
    },
    tell: (progress: SurveyProgress) => {
      if (clock.monotonicMs() - toldMs < NOTE_MS) return
      toldMs = clock.monotonicMs()
      onProgress?.({ phase: 'survey', ...progress })
    },
  }
}

/** A dry run writes nothing, so it cannot ask for the store's time: the time is at least this. */
function newestMs(times: Iterable<number>): number {
  let newest = 0
  for (const time of times) newest = Math.max(newest, time)
  return newest
}

function unended({ survey, reach }: PruneRun): string[] {
  return [...survey.lastWriteMs.keys()].filter((session) => !reach.ended.has(session))
}

/** What a run would remove if nothing else worked on the repository any more. */
async function rehearse(run: PruneRun, options: PruneOptions): Promise<PruneReport> {
  await fenceIdle(run, unended(run), Number.POSITIVE_INFINITY)
  const alsoEnded = new Set(run.fenced)
  run.kept = await lookForKept(run, alsoEnded)
  const packs = unnamedPacks(run, Number.POSITIVE_INFINITY, alsoEnded).map((pack) => ({
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
    { phase: 'tidy' },
  )
}

const incompleteLivesMs = ({ incompleteLivesMs: given }: PruneOptions): number => given ?? INCOMPLETE_LIVES_MS

function reportOf(
  run: PruneRun,
  state: PruneReport['state'],
  waitsFor: string[],
  progress: PruneProgress,
): PruneReport {
  const kept = { objects: 0, bytes: 0 }
  for (const pack of run.reach.packs) {
    kept.objects++
    kept.bytes += run.survey.packs.get(pack) ?? 0
  }
  return { state, waitsFor: [...new Set(waitsFor)], fenced: run.fenced, removed: run.remover.removed, kept, progress }
}
