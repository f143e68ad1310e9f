// `dormouse prune`: deletes what no backup names, from outside of the cluster or beside its functions.

import { pruningCondition } from '#shared/domain/maintenance.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { PruneReport } from '#shared/ports/mover.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { pruneRepository } from '#shared/repository/maintenance/prune.ts'
import { openNamedStore } from './open-store.ts'
import { passwordOf, type SourceFlags, sourceOf, usage } from './repository-source.ts'

export type PruneFlags = SourceFlags & { dryRun?: true; exclusive?: true; sessionIdleHours: string }

/** What is left for another run has an exit code of its own: a script can tell it from a failure. */
export const EXIT_CODES = { done: 0, waiting: 2, more: 2 } as const satisfies Record<PruneReport['state'], number>

/** `onLine` is told each name of a dry run, and what was worked around. */
export async function pruneCommand(flags: PruneFlags, onLine: (line: string) => void): Promise<PruneReport> {
  const sessionIdleMs = HOUR_MS * hoursOf(flags.sessionIdleHours)
  const { stores, spec, repositoryId, readSecret } = await sourceOf(flags)
  // Somebody vouches for it that nobody else writes: then to look first and to write then is as good.
  const more = flags.exclusive === true ? { conditionalPut: false } : {}
  const { parameters, store } = await openNamedStore(stores, spec, readSecret, more)
  const password = await passwordOf(flags, parameters, readSecret)
  const repository = await requireRepository(store, password, undefined, repositoryId)
  return await pruneRepository(repository, {
    clock: systemClock,
    sliceMs: Number.POSITIVE_INFINITY,
    sessionIdleMs,
    dryRun: flags.dryRun,
    exclusive: flags.exclusive,
    warn: (reason, message) => onLine(`warning: ${message} [${reason}]`),
    onKey: (key) => onLine(`would remove ${key}`),
    onProgress: (progress) => onLine(pruningCondition(progress).message),
  })
}

function hoursOf(text: string): number {
  const hours = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (hours >= 1) return hours
  throw usage(`--session-idle-hours ${JSON.stringify(text)}: give a whole number of hours, at least 1`)
}

/** For people: what went, what stays, what is waited for. */
export function linesOf({ state, waitsFor, fenced, removed, kept }: PruneReport, dryRun: boolean): string[] {
  const kinds = Object.entries(removed).map(
    ([kind, { objects, bytes }]) => `  ${kind}: ${objects} objects, ${bytes} bytes`,
  )
  const went = dryRun ? 'would remove' : 'removed'
  return [
    kinds.length === 0 ? 'nothing to remove' : `${went}:`,
    ...kinds,
    `backups name ${kept.objects} packs, ${kept.bytes} bytes`,
    ...fenced.map(
      (session) => `${dryRun ? 'would give up' : 'gave up'} session ${session}: it stored nothing for long`,
    ),
    ...waitsFor.map((session) => `waits for session ${session}, which has not ended`),
    ...(state === 'done' ? [] : ['not all is done: run it again later']),
  ]
}
