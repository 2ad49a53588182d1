"""isthmus keeps a professional-services firm's CRM, PSA, ERP and planner in step."""
