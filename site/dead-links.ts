import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

const LINK = /\s(?:href|src)="([^"]+)"/g
const ANCHOR = /\sid="([^"]+)"/g
const ELSEWHERE = /^([a-z][a-z0-9+.-]*:|\/\/)/

/** The links of a built site that lead to no page, file or heading of it, each with the page it is on. */
export function deadLinks(folder: string, base: string): string[] {
  const pages = new Map(
    globSync('**/*.html', { cwd: folder }).map((path) => [path, readFileSync(join(folder, path), 'utf8')]),
  )
  const anchors = new Map([...pages].map(([path, html]) => [path, new Set(matches(html, ANCHOR))]))
  return [...pages].flatMap(([path, html]) => {
    const leads = (href: string): boolean => {
      const [file = '', anchor = ''] = href.split('#')
      const target = file === '' ? path : targetOf(file, path, base)
      const page = [target, `${target}.html`, posix.join(target, 'index.html')].find((each) =>
        pages.has(each),
      )
      if (page === undefined) return existsSync(join(folder, target)) && !target.endsWith('/')
      return anchor === '' || anchors.get(page)?.has(decodeURIComponent(anchor)) === true
    }
    const links = [...new Set(matches(html, LINK))].filter((href) => !ELSEWHERE.test(href))
    return links.filter((href) => !leads(href)).map((href) => `${path}: ${href}`)
  })
}

function matches(html: string, pattern: RegExp): string[] {
  return [...html.matchAll(pattern)].map(([, found = '']) => found.replaceAll('&amp;', '&'))
}

/** A path below the site's folder, of a link from a page. */
function targetOf(file: string, path: string, base: string): string {
  const decoded = decodeURI(file)
  return decoded.startsWith(base) ? decoded.slice(base.length) : posix.join(posix.dirname(path), decoded)
}
