// What exists in a repository, as one prune sees it, and the current time of the store.

import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { newProbeKey, PROBE_PREFIX } from '#shared/repository/core/conditional-put.ts'
import {
  checkpointPrefix,
  doomKey,
  indexKey,
  isPackRef,
  packKey,
  parseCheckpointKey,
  parseSession,
  sessionKey,
  waitsKey,
} from '#shared/repository/format/names.ts'
import { PackTable } from './pack-table.ts'

export type Survey = {
  /** Bytes of each pack, by `<session>/<16 hex>`. */
  packs: PackTable
  /** Every object that names a session, except packs and roots: `checkpoint/`, `index/`, `session/`. */
  ofSessions: Map<string, StoredObject & { session: string }>
  /** The newest checkpoint of each session that has one. */
  checkpoints: Map<string, { name: string; modifiedMs: number }>
  /** Probes, and the lists `waits/` and `doom/`. */
  others: Map<string, StoredObject>
  /** When each session last wrote something, by the store's times. */
  lastWriteMs: Map<string, number>
}

/** Packs are listed first: this run leaves packs alone that are younger than the list. */
export async function surveyOf(store: ObjectStore, signal?: AbortSignal): Promise<Survey> {
  const survey: Survey = {
    packs: new PackTable(),
    ofSessions: new Map(),
    checkpoints: new Map(),
    others: new Map(),
    lastWriteMs: new Map(),
  }
  for await (const { key, bytes, modifiedMs } of store.list(packKey(''), signal)) {
    const session = sessionOf(key)
    const pack = key.slice(packKey('').length)
    // Other objects in this place are not Dormouse's to delete.
    if (session === undefined || !isPackRef(pack)) continue
    survey.packs.set(pack, bytes)
    noteWrite(survey, session, modifiedMs)
  }
  // Index runs come after checkpoints: a session that has no index run by then had not been sealed when its checkpoint was listed.
  for (const prefix of [checkpointPrefix(''), indexKey(''), sessionKey('')]) {
    for await (const object of store.list(prefix, signal)) {
      const session = sessionOf(object.key)
      if (session === undefined) continue
      survey.ofSessions.set(object.key, { ...object, session })
      const name = parseCheckpointKey(object.key)?.name
      if (name !== undefined) survey.checkpoints.set(session, { name, modifiedMs: object.modifiedMs })
      noteWrite(survey, session, object.modifiedMs)
    }
  }
  for (const prefix of [PROBE_PREFIX, waitsKey(''), doomKey('')]) {
    for await (const object of store.list(prefix, signal)) survey.others.set(object.key, object)
  }
  return survey
}

/** The session in `packs/<S>/…`, `checkpoint/<S>/…`, `index/<S>`, `session/<S>`. */
export function sessionOf(key: string): string | undefined {
  const session = key.split('/')[1] ?? ''
  return parseSession(session) === undefined ? undefined : session
}

function noteWrite({ lastWriteMs }: Survey, session: string, modifiedMs: number): void {
  lastWriteMs.set(session, Math.max(modifiedMs, lastWriteMs.get(session) ?? 0))
}

/**
 * The time of an object that was written just now. It can be compared with the times of other objects, whatever this machine's clock
 * says.
 */
export async function storeNowMs(store: ObjectStore, signal?: AbortSignal): Promise<number> {
  const key = newProbeKey()
  try {
    await store.putIfAbsent(key, Buffer.from('what time is it?'), signal)
    for await (const { modifiedMs } of store.list(key, signal)) return modifiedMs
    return 0 // not listed: treat nothing as old
  } finally {
    await store.delete(key)
  }
}
