// `dormouse prune`: deletes data that no backup names, from outside of the cluster or concurrently with its functions.

import { pruningCondition } from '#shared/domain/maintenance.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { PruneReport } from '#shared/ports/mover.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { pruneRepository } from '#shared/repository/maintenance/prune.ts'
import { openNamedStore } from './open-store.ts'
import { passwordOf, type SourceFlags, sourceOf, usage } from './repository-source.ts'

export type PruneFlags = SourceFlags & { dryRun?: true; exclusive?: true; sessionIdleHours: string }

/** If work is left for another run, the exit code differs from that of a failure, for scripts. */
export const EXIT_CODES = { done: 0, waiting: 2, more: 2 } as const satisfies Record<PruneReport['state'], number>

/** `onLine` gets each name of a dry run, and each workaround that was used. */
export async function pruneCommand(flags: PruneFlags, onLine: (line: string) => void): Promise<PruneReport> {
  const sessionIdleMs = HOUR_MS * hoursOf(flags.sessionIdleHours)
  const { stores, spec, repositoryId, readSecret } = await sourceOf(flags)
  // With --exclusive the user guarantees that there is no other writer: then checking before writing is as safe as conditional PUT.
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

/** For users: what was removed, what is kept, which sessions prune waits for. */
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
