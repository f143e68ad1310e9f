// HTTP as the environment needs it: own CA, no hidden time limits, answers as text or as lines.

import http from 'node:http'
import https from 'node:https'

export type Answer = { status: number; headers: http.IncomingHttpHeaders; text: string }
type Request = {
  method?: string
  headers?: Record<string, string>
  body?: string | Buffer
  agent?: http.Agent
  signal?: AbortSignal
}

/** The whole answer, whatever its status. */
export function request(url: string, options: Request = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = open(url, options, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', reject)
      response.once('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, text: Buffer.concat(parts).toString('utf8') })
      })
    })
    call.once('error', reject)
    call.end(options.body)
  })
}

/** Passes on line by line; resolves at the end of the stream. */
export function openStream(url: string, options: Request, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = open(url, options, (response) => {
      if (response.statusCode !== 200) {
        response.resume()
        reject(new Error(`${new URL(url).pathname}: ${response.statusCode}`))
        return
      }
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        const lines = (rest + part).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') onLine(line)
      })
      response.once('error', reject)
      response.once('end', resolve)
    })
    call.once('error', reject)
    call.end()
  })
}

function open(url: string, options: Request, onResponse: (response: http.IncomingMessage) => void): http.ClientRequest {
  const { body: _, ...rest } = options
  return (url.startsWith('https:') ? https : http).request(url, rest, onResponse)
}
