// Finds the pod through which File System Backup takes a claim: the Pods of a namespace are read once for all its claims, in pages, and
// only the names of the claims that are taken are kept.

import type { Backup, PersistentVolumeClaim } from '#shared/api/types.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { Cursor } from '#shared/ports/cluster.ts'
import { claimsTakenThrough } from '../domain/file-system-backup.ts'
import type { ActionDeps } from './deps.ts'

/** The pod's name; undefined: no pod does. */
export type FileSystemPodOf = (claim: PersistentVolumeClaim, backup: Backup) => Promise<string | undefined>

type Deps = Pick<ActionDeps, 'cluster' | 'clock'>
/** The first pod for each claim. */
type Taken = Map<string, string>
type Looked = { atMs: number; taken: Promise<Taken> }

/** Pods come and go, and a Backup may take hours. Velero itself reads them only once per Backup. */
const KEPT_MS = 5 * MINUTE_MS
/** Number of namespaces that are cached: Velero processes them one after the other, several claims at a time. */
const MOST_NAMESPACES = 16

/** A process of the plugin lives for one Backup; calls for several claims may run at once. */
export function fileSystemPods(deps: Deps): FileSystemPodOf {
  const looks = new Map<string, Looked>()
  const look = (key: string, namespace: string, backup: Backup): Looked => {
    const looked = { atMs: deps.clock.monotonicMs(), taken: readTaken(deps, namespace, backup) }
    looks.delete(key)
    looks.set(key, looked)
    // A failure is not cached; the caller gets the error.
    looked.taken.catch(() => looks.get(key) === looked && looks.delete(key))
    const [oldest = key] = looks.keys()
    if (looks.size > MOST_NAMESPACES) looks.delete(oldest)
    return looked
  }
  return async (claim, backup) => {
    const { namespace = '', name } = claim.metadata
    const key = `${backup.metadata.uid}/${namespace}`
    const known = looks.get(key)
    const isFresh = known !== undefined && deps.clock.monotonicMs() - known.atMs < KEPT_MS
    const pod = (await (isFresh ? known : look(key, namespace, backup)).taken).get(name)
    // A claim that File System Backup takes is left out by Dormouse, so a cached answer is checked again first.
    if (pod === undefined || !isFresh || (await isStillTaken(deps, pod, claim, backup))) return pod
    return (await look(key, namespace, backup).taken).get(name)
  }
}

async function readTaken({ cluster }: Deps, namespace: string, backup: Backup): Promise<Taken> {
  const taken: Taken = new Map()
  let from: Cursor | undefined
  do {
    const { objects, next } = await cluster.page('Pod', { namespace }, from)
    for (const pod of objects) {
      for (const claim of claimsTakenThrough(pod, backup)) if (!taken.has(claim)) taken.set(claim, pod.metadata.name)
    }
    from = next
  } while (from !== undefined)
  return taken
}

async function isStillTaken(
  { cluster }: Deps,
  pod: string,
  claim: PersistentVolumeClaim,
  backup: Backup,
): Promise<boolean> {
  const { namespace, name } = claim.metadata
  const fresh = await cluster.read('Pod', namespace, pod)
  return fresh !== undefined && claimsTakenThrough(fresh, backup).includes(name)
}
