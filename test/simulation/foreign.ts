// Objects of other programs and clusters in the same vCenter and bucket: at the end they must be as they were at the beginning.

import { KiB } from '#shared/kernel/units.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import type { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { EngineWorld } from '#test/support/engine-world.ts'
import { applyChanges } from '#test/support/volume-history.ts'
import type { Bucket } from './bucket.ts'

const NAMES = ['dormouse/another-cluster/11111111-0000-4000-8000-000000000000', 'before the upgrade']

export class Foreign {
  readonly #volumes: MemoryVolumes
  readonly #bucket: Bucket
  readonly #objects = new Map<string, Uint8Array>()
  readonly #snapshots: { fcdId: string; snapshotId: string }[] = []

  constructor(volumes: MemoryVolumes, bucket: Bucket) {
    this.#volumes = volumes
    this.#bucket = bucket
  }

  get snapshotIds(): Set<string> {
    return new Set(this.#snapshots.map(({ snapshotId }) => snapshotId))
  }

  /** A disk snapshot of another cluster, and one that a person made by hand. */
  takeSnapshot(fcdId: string): void {
    for (const name of NAMES) this.#snapshots.push({ fcdId, snapshotId: this.#volumes.takeSnapshotNow(fcdId, name) })
  }

  /** A finished backup of another cluster, and an unfinished one. */
  async useBucket(): Promise<void> {
    await this.#bucket.ready
    const known = new Set(this.#bucket.objects.keys())
    const theirs = new EngineWorld(new MemoryObjectStore({ objects: this.#bucket.objects }))
    const content = new MemoryDiskContent(256 * KiB)
    applyChanges(content, [{ kind: 'write', sector: 0, sectors: 100, fill: 9 }])
    await theirs.backup(content, 'sealed')
    const session = await theirs.newSession('open')
    await theirs.uploadSlice({ content, session, snapshotId: 'open', signal: AbortSignal.abort() })
    for (const [key, { body }] of this.#bucket.objects) if (!known.has(key)) this.#objects.set(key, body)
    for (const key of this.#objects.keys()) this.#bucket.foreign.add(key)
  }

  /** Returns what has changed. A disk that was deleted took its snapshots along. */
  get harmed(): string[] {
    const objects = [...this.#objects].filter(([key, body]) => this.#bucket.objects.get(key)?.body !== body)
    const snapshots = this.#snapshots.filter(({ fcdId, snapshotId }) => {
      const stays = this.#volumes.diskIds.includes(fcdId)
      return stays && !this.#volumes.snapshotsOf(fcdId).some((each) => each.snapshotId === snapshotId)
    })
    return [...objects.map(([key]) => key), ...snapshots.map(({ snapshotId }) => snapshotId)]
  }
}
