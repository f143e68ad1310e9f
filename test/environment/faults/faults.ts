// The fault bench of an environment: proxies in front of its servers, and the wall clock of its functions.

import { readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ControlPlane } from '../kubernetes/control-plane.ts'
import type { Ports } from '../process/ports.ts'
import type { S3Server } from '../storage/s3.ts'
import type { Vcenter } from '../storage/vcenter.ts'
import type { Known } from './callers.ts'
import { FaultPlan } from './fault-plan.ts'
import { FaultProxy, type ProxyOptions } from './proxy.ts'
import type { ServerName } from './write-points.ts'

type Servers = { controlPlane: ControlPlane; s3: S3Server; vcenter: Vcenter }

const CLOCK_SHIFT = path.join(import.meta.dirname, 'clock-shift.mjs')

export class Faults {
  readonly plan = new FaultPlan()
  readonly kubernetes: FaultProxy
  readonly s3: FaultProxy
  readonly vcenter: FaultProxy
  private readonly known: (() => Known[])[] = []
  private readonly clockFile: string

  private constructor(proxies: Record<ServerName, Omit<ProxyOptions, 'plan' | 'programs'>>, folder: string) {
    const proxy = (options: Omit<ProxyOptions, 'plan' | 'programs'>) =>
      new FaultProxy({ ...options, plan: this.plan, programs: () => this.known.flatMap((now) => now()) })
    this.kubernetes = proxy(proxies.kubernetes)
    this.s3 = proxy(proxies.s3)
    this.vcenter = proxy(proxies.vcenter)
    this.clockFile = path.join(folder, 'clock-shift')
  }

  static async start({ controlPlane, s3, vcenter }: Servers, ports: Ports, folder: string): Promise<Faults> {
    const keys = async (place: string) => ({
      certPem: await readFile(`${place}.crt`, 'utf8'),
      keyPem: await readFile(`${place}.key`, 'utf8'),
      caPem: controlPlane.caPem,
    })
    const [kubernetes, vcenters] = await Promise.all([keys(controlPlane.certificate), keys(vcenter.certificate)])
    const faults = new Faults(
      {
        kubernetes: { server: 'kubernetes', target: controlPlane.server, port: await ports.take(), tls: kubernetes },
        s3: {
          ...{ server: 's3', target: s3.url, port: await ports.take() },
          ...(s3.certificate === undefined ? {} : { tls: await keys(s3.certificate) }),
        },
        vcenter: { server: 'vcenter', target: vcenter.url, port: await ports.take(), tls: vcenters },
      },
      folder,
    )
    await Promise.all(faults.proxies.map((proxy) => proxy.back()))
    s3.shownUrl = faults.s3.url
    vcenter.shownPort = faults.vcenter.port
    return faults
  }

  /** Adds programs among which the proxies look for a caller. */
  know(programs: () => Known[]): void {
    this.known.push(programs)
  }

  get proxies(): FaultProxy[] {
    return [this.kubernetes, this.s3, this.vcenter]
  }

  /** Sets the wall clock of all functions, running ones included, off by so many milliseconds from now on; 0: it is right. */
  async shiftClock(ms: number): Promise<void> {
    await writeFile(`${this.clockFile}.new`, String(ms))
    await rename(`${this.clockFile}.new`, this.clockFile)
  }

  /** Variables that a function needs so that its clock can be shifted. */
  get env(): Record<string, string> {
    return {
      NODE_OPTIONS: `--import=${pathToFileURL(CLOCK_SHIFT)}`,
      ENVIRONMENT_CLOCK_FILE: this.clockFile,
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()))
  }
}
