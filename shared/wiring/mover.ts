// The mover of an upload or download function: its child process, with the VDDK settings that the documented ConfigMap holds now.

import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Permits, type StepDeps, type TransferDeps } from '#shared/controllers/deps.ts'
import { MiB } from '#shared/kernel/units.ts'
import { createMover } from '#shared/movers/process/client.ts'
import type { Mover } from '#shared/ports/mover.ts'
import { renderVddkConfig, VDDK_CONFIG_LABEL, VDDK_CONFIG_LABEL_VALUE } from '#shared/providers/vddk/config.ts'
import type { Metrics } from '#shared/runtime/metrics.ts'
import { wireRepositories } from './repositories.ts'
import { Scratch } from './scratch.ts'
import { wireVolumes } from './volumes.ts'

/** One transfer at a time: a pod's memory limit fits one, and max-scale of the service allows more pods. */
const TRANSFERS_PER_POD = 1

export function wireTransfers(name: string, deps: StepDeps, metrics: Metrics): TransferDeps {
  const wired = wireRepositories(wireVolumes(deps))
  return {
    ...wired,
    mover: new ConfiguredMover(deps),
    permits: new Permits(TRANSFERS_PER_POD),
    countSlice: (outcome) => metrics.slices.add({ function: name, outcome }),
  }
}

/** Starts the child with the current settings; when the settings change, a new child is started after the last transfer is over. */
class ConfiguredMover implements Mover {
  readonly #deps: StepDeps
  #current: { config: string; mover: Mover } | undefined
  #turn: Promise<unknown> = Promise.resolve()
  readonly #scratch = new Scratch()

  constructor(deps: StepDeps) {
    this.#deps = deps
  }

  async upload(...args: Parameters<Mover['upload']>): ReturnType<Mover['upload']> {
    return await (await this.#configured()).upload(...args)
  }

  async download(...args: Parameters<Mover['download']>): ReturnType<Mover['download']> {
    return await (await this.#configured()).download(...args)
  }

  async endAccess(...args: Parameters<Mover['endAccess']>): ReturnType<Mover['endAccess']> {
    // By the current mover: a new configuration waits for the running transfer.
    await (this.#current?.mover ?? (await this.#configured())).endAccess(...args)
  }

  async close(): Promise<void> {
    await this.#current?.mover.close()
  }

  /** One call after the other: two concurrent calls would otherwise start a mover each, and one of them could never be killed or closed. */
  #configured(): Promise<Mover> {
    const mine = this.#turn.then(() => this.#configure())
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  async #configure(): Promise<Mover> {
    const config = await this.#renderConfig()
    if (this.#current?.config === config) return this.#current.mover
    await this.#current?.mover.close()
    const file = await this.#scratch.write('vddk.conf', config)
    this.#current = { config, mover: this.#create(file) }
    return this.#current.mover
  }

  #create(configFile: string): Mover {
    const { settings, log, clock } = this.#deps
    const { vddkDir: libDir, vddkTransport: transportModes } = settings
    return createMover({
      entry: moverEntry(),
      env: process.env,
      wall: clock,
      memoryMib: settings.memoryBytes / MiB,
      bytesPerSecond: settings.moverBytesPerSecond,
      disks: libDir === undefined ? undefined : { provider: 'vddk', libDir, configFile, transportModes },
      idleMs: settings.idleCloseMs,
      onWarning: (reason, message) => log.warn({ reason }, message),
    })
  }

  /** The Velero Plugin for vSphere's ConfigMap with the label velero.io/vddk-config=vix-disk-lib; read again for each transfer. */
  async #renderConfig(): Promise<string> {
    const options = {
      namespace: this.#deps.settings.veleroNamespace,
      labelSelector: `${VDDK_CONFIG_LABEL}=${VDDK_CONFIG_LABEL_VALUE}`,
    }
    const maps = await this.#deps.cluster.list('ConfigMap', options)
    return renderVddkConfig(maps, await this.#scratch.folder())
  }
}

/** Next to the function's bundle, or in the source tree. */
function moverEntry(): string {
  const here = fileURLToPath(import.meta.url)
  if (basename(here).endsWith('.mjs')) return join(dirname(here), 'mover.mjs')
  return join(dirname(here), '../movers/process/main.ts')
}
