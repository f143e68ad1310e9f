// Disk snapshots in the environment's vCenter, as other programs may have taken them.

import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import { readVSphereConfig } from '#shared/providers/vsphere/config.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'

const LOOK_EVERY_MS = 50

export class DiskSnapshots {
  private readonly environment: Environment
  private readonly service: VolumeService

  constructor(environment: Environment) {
    this.environment = environment
    const config = readVSphereConfig(environment.vcenter.configText(), () => undefined)
    this.service = createVolumeService({ loadConfig: async () => config, clock: systemClock })
  }

  /** Takes a disk snapshot with that description; returns its id. */
  async leave(fcdId: string, description: string): Promise<string> {
    const task = await this.service.startSnapshot(fcdId, description)
    for (;;) {
      const state = await this.service.pollTask(task)
      if (state.state === 'done') return state.result ?? ''
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  async of(fcdId: string): Promise<string[]> {
    return ((await this.environment.vcenter.disk(fcdId))?.snapshots ?? []).map(({ id }) => id).sort()
  }

  /** Lets the orphan sweep of `by` run once they are old enough; the expected ones must be left on the disks. */
  async orphansGo(by: Environment, disks: string[], wanted: string[][]): Promise<void> {
    const now = () => Promise.all(disks.map((fcdId) => this.of(fcdId)))
    await until('its orphans are gone', async () => {
      await by.ping('dormouse-orphans')
      return (await now()).flat().length <= wanted.flat().length
    })
    assert.equal(await now(), wanted)
  }

  async close(): Promise<void> {
    await this.service.close()
  }
}
