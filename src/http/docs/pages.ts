/** Everything that the pages name is relative to them: they work under any prefix. */

export function swaggerPage(title: string): string {
  return page(
    title,
    '<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="icon" href="docs/favicon-32x32.png">',
    `<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/open-swagger.js"></script>`,
  );
}

export function redocPage(title: string): string {
  return page(
    title,
    '<link rel="icon" href="docs/favicon-32x32.png"><style>body{margin:0}</style>',
    `<div id="redoc"></div>
<script src="docs/redoc.standalone.js"></script>
<script src="docs/open-redoc.js"></script>`,
  );
}

/** In files of their own, because the policy of the pages lets no script in them run. */
export const pageScripts: Readonly<Record<string, string>> = {
  'open-swagger.js': `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#swagger-ui', deepLinking: true });
`,
  'open-redoc.js': `Redoc.init('openapi.json', {}, document.getElementById('redoc'));
`,
};

function page(title: string, head: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
${head}
</head>
<body>
${body}
</body>
</html>
`;
}
