// Creates an object under a name that was made for it; a second caller, also after a crash, finds the existing object.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { isNameTaken, TerminalError } from '#shared/kernel/errors.ts'
import type { ActionDeps } from './deps.ts'

/** TerminalError `NameTaken`: the object under this name is not `own`. */
export async function findOrCreate<Name extends KindName>(
  deps: ActionDeps,
  kind: Name,
  wanted: KindTypes[Name],
  own: (object: KindTypes[Name]) => boolean,
): Promise<{ object: KindTypes[Name]; created: boolean }> {
  const { namespace, name } = wanted.metadata
  const found = await deps.cluster.read(kind, namespace, name)
  if (found !== undefined) return { object: requireOwn(found, own), created: false }
  try {
    return { object: await deps.cluster.create(kind, wanted), created: true }
  } catch (error) {
    if (!isNameTaken(error)) throw error
    const other = await deps.cluster.read(kind, namespace, name)
    if (other === undefined) throw new TerminalError('NameTaken', `${placeOf(wanted)} came and went`, { cause: error })
    return { object: requireOwn(other, own), created: false }
  }
}

function requireOwn<Found extends KubeObject>(found: Found, own: (object: Found) => boolean): Found {
  if (own(found)) return found
  throw new TerminalError(
    'NameTaken',
    `${placeOf(found)} exists and was made for something else: find out for what before you remove it`,
  )
}

function placeOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
}
