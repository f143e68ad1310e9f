// Everything that belongs to others: after the hostile objects it must be as it was before them.

import net from 'node:net'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { typeOf } from '#test/environment/main-job.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

export type ForeignWorld = {
  /** Resource versions, which show every write to an object. */
  objects: Record<string, string | undefined>
  /** Disks of others with their content and their snapshots. */
  disks: Record<string, { content: string; snapshots: string[] }>
  bucket: string[]
}

export type Watched = { namespaces: string[]; volumes: string[]; disks: string[]; prefixes: string[] }

export async function foreignWorld(environment: Environment, watched: Watched): Promise<ForeignWorld> {
  const kinds = ['Snapshot', 'CloneFromSnapshot', 'DeleteSnapshot', 'BackupRepositoryClaim'] as const
  const lists = await Promise.all([
    ...kinds.map((kind) => environment.api.list(typeOf(kind).apiVersion, kind)),
    environment.api.list('v1', 'PersistentVolumeClaim'),
  ])
  const own = lists.flat().filter(({ metadata }) => watched.namespaces.includes(metadata.namespace ?? ''))
  const volumes = (await environment.api.list('v1', 'PersistentVolume')).filter(({ metadata }) =>
    watched.volumes.includes(metadata.name),
  )
  const { fcds } = await environment.vcenterState()
  const disks = fcds.filter(({ id }) => watched.disks.includes(id))
  const entries = await Promise.all(
    disks.map(async ({ id, path, snapshots }) => [
      id,
      { content: await sha256(path), snapshots: snapshots.map((one) => `${one.id} ${one.description}`).sort() },
    ]),
  )
  const bucket = await Promise.all(watched.prefixes.map((prefix) => environment.bucketObjects(prefix)))
  return {
    objects: Object.fromEntries([...own, ...volumes, ...(await movers(environment, watched))].map(versionOf)),
    disks: Object.fromEntries(entries),
    bucket: bucket.flat().map(({ key, bytes }) => `${key} ${bytes}`),
  }
}

/** None of it is gone or changed; new objects are allowed. */
export function assertUntouched(before: ForeignWorld, now: ForeignWorld): void {
  const changed = Object.keys(before.objects).filter((name) => now.objects[name] !== before.objects[name])
  assert.equal(changed, [], 'objects')
  assert.equal(now.disks, before.disks)
  const lost = before.bucket.filter((object) => !now.bucket.includes(object))
  assert.equal(lost, [], 'in the bucket')
}

/** Uploads and Downloads that were made for the watched namespaces. */
async function movers(environment: Environment, { namespaces }: Watched): Promise<LooseObject[]> {
  const lists = await Promise.all(
    (['Upload', 'Download'] as const).map((kind) => environment.api.list(typeOf(kind).apiVersion, kind, 'velero')),
  )
  return lists.flat().filter(({ spec }) => {
    const reference = String(spec?.snapshotReference ?? spec?.clonefromSnapshotReference ?? '')
    return namespaces.some((namespace) => reference.startsWith(`${namespace}/`))
  })
}

function versionOf({ kind, metadata }: LooseObject): [string, string | undefined] {
  return [`${kind} ${metadata.namespace ?? ''}/${metadata.name}`, `${metadata.uid} ${metadata.resourceVersion}`]
}

/** A server of an attacker: it counts connections, and answers nothing. */
export class Lure {
  connections = 0
  private readonly server = net.createServer((socket) => {
    this.connections++
    socket.destroy()
  })

  static async start(): Promise<Lure> {
    const lure = new Lure()
    await new Promise<void>((resolve) => lure.server.listen(0, '127.0.0.1', resolve))
    return lure
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}
