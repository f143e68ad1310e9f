// Ports that no other environment on this machine takes, and that the kernel gives to no outgoing connection.

import net from 'node:net'

// Below the usual ephemeral range (32768 and up), above what well-known services use.
const FIRST_PORT = 20_000
const LAST_PORT = 31_999

/** Reserves ports until the environment ends, also while the program that uses one is down. */
export class Ports {
  private readonly claims: net.Server[] = []

  async take(): Promise<number> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))
      const claim = await claimed(port)
      if (claim === undefined) continue
      if (await isFree(port)) {
        this.claims.push(claim)
        return port
      }
      claim.close()
    }
    throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT} after 200 tries`)
  }

  release(): void {
    for (const claim of this.claims) claim.close()
    this.claims.length = 0
  }
}

// An abstract socket (its name starts with a NUL) is machine-wide, exclusive, and gone with the process that holds it.
function claimed(port: number): Promise<net.Server | undefined> {
  return listening(net.createServer(), { path: `\0dormouse-port-${port}` })
}

async function isFree(port: number): Promise<boolean> {
  const probe = await listening(net.createServer(), { host: '127.0.0.1', port })
  if (probe === undefined) return false
  await new Promise((resolve) => probe.close(resolve))
  return true
}

function listening(server: net.Server, where: net.ListenOptions): Promise<net.Server | undefined> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(where, () => resolve(server.unref()))
  })
}

/** Whether a program accepts connections there. */
export function accepts(port: number, timeoutMs = 300): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port, timeout: timeoutMs })
    const answer = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
    socket.once('timeout', () => answer(false))
  })
}
