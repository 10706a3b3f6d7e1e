// A server in JavaScript: answers with method, path and body of a request; below /trap it throws.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (pathname.startsWith("/trap")) throw new Error("asked for");
  const body = await request.text();
  return new Response(`JavaScript ${request.method} ${pathname} ${body}`, { headers: { "x-language": "JavaScript" } });
}
