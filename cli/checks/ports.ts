// Are the TCP ports reachable that transfers use: 443 of vCenter, 902 of every ESXi host that may hold a volume?

import { asError } from '#shared/kernel/errors.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { type Finding, note, ok, problem, problemOf } from '../finding.ts'

export type Port = { host: string; port: number; what: string }

type PortDeps = {
  vcenterPorts: () => Promise<Port[]>
  esxiHosts: () => Promise<string[]>
  /** Resolves when the connection is established. */
  connect: (host: string, port: number) => Promise<void>
}

const NFC_PORT = 902
const PARALLEL = 16

export async function checkPorts(deps: PortDeps): Promise<Finding[]> {
  const vcenters = await portsOr(deps.vcenterPorts)
  const hosts = await portsOr(async () =>
    (await deps.esxiHosts()).map((host) => ({ host, port: NFC_PORT, what: 'ESXi host' })),
  )
  const listed = [...vcenters.ports, ...hosts.ports]
  const tried = await inParallel(listed, PARALLEL, (port) => tryPort(deps, port))
  const none = hosts.ports.length === 0 && hosts.failed.length === 0
  const missing = none ? [note('ports', '', 'no ESXi host is known; name them with --esxi-host')] : []
  return [...vcenters.failed, ...hosts.failed, ...tried, ...missing]
}

async function portsOr(list: () => Promise<Port[]>): Promise<{ ports: Port[]; failed: Finding[] }> {
  try {
    return { ports: await list(), failed: [] }
  } catch (error) {
    return { ports: [], failed: [problemOf('ports', '', error)] }
  }
}

async function tryPort(deps: PortDeps, { host, port, what }: Port): Promise<Finding> {
  const subject = `${host}:${port}`
  try {
    await deps.connect(host, port)
    return ok('ports', subject, `the ${what} can be reached from here`)
  } catch (error) {
    const text = `the ${what} cannot be reached from here: ${asError(error).message}`
    return problem(
      'ports',
      subject,
      text,
      'open this port from the nodes that run upload and download, and let them resolve the name',
    )
  }
}
