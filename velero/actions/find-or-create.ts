// Creates an object under a name that was made for it; whoever comes second, also after a death, finds it.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { ConflictError, TerminalError } from '#shared/kernel/errors.ts'
import type { ActionDeps } from './deps.ts'

export type Found = { object: KubeObject; created: boolean }

/** TerminalError `NameTaken`: what stands there is not `own`. */
export async function findOrCreate(
  deps: ActionDeps,
  wanted: KubeObject & { kind: KindName },
  own: (object: KubeObject) => boolean,
): Promise<Found> {
  const { namespace, name } = wanted.metadata
  const found = await deps.cluster.read(wanted.kind, namespace, name)
  if (found !== undefined) return { object: requireOwn(found, wanted, own), created: false }
  try {
    return { object: await deps.cluster.create(wanted.kind, wanted), created: true }
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const other = await deps.cluster.read(wanted.kind, namespace, name)
    if (other === undefined) throw new TerminalError('NameTaken', `${placeOf(wanted)} came and went`, { cause: error })
    return { object: requireOwn(other, wanted, own), created: false }
  }
}

function requireOwn(found: KubeObject, wanted: KubeObject, own: (object: KubeObject) => boolean): KubeObject {
  if (own(found)) return found
  throw new TerminalError(
    'NameTaken',
    `${placeOf(wanted)} exists and was made for something else: find out for what before you remove it`,
  )
}

function placeOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
}
